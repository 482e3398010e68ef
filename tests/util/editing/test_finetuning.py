import pytest
import torch

from tests.tiny import MODULE_NAMES, REQUESTS, TINY
from util.editing import finetuning
from util.editing.finetuning import Term, answer_rows, fine_tune, nll_term, scores
from util.editing.setting import Setting
from util.hparams import TuningHParams
from util.likelihood import answer_log_likelihoods
from util.tokens import encode, target_ids
from util.weights import weights_hash

TRUE = [request.target_true for request in REQUESTS]


def settings(family, **changes):
    own = {"layers": [1, 2], "lr": 1e-2, "num_steps": 3, "batch_size": 2, "norm_constraint": None}
    return TuningHParams(**own | {"rewrite_module_tmp": MODULE_NAMES[family]["rewrite_module_tmp"]} | changes)


def tune(model, tok, hparams, parts=None, **options):
    own = {name: options.pop(name) for name in ("seed", "batch_tokens") if name in options}
    setting = Setting(model=model, tokenizer=tok, requests=REQUESTS, **own)
    return fine_tune(setting, hparams, parts or [nll_term(answer_rows(tok, REQUESTS, TRUE))], **options)


def parameters(model, hparams):
    return [model.get_parameter(f"{name}.weight") for name in hparams.rewrite_modules()]


def copies(model, hparams):
    return [weight.detach().clone() for weight in parameters(model, hparams)]


def plain_log_likelihood(model, tok, request, answer):
    """One text, one full forward pass, logits everywhere."""
    prompt, tokens = encode(tok, request.text), target_ids(tok, answer)
    log_p = model(torch.tensor([prompt + tokens])).logits[0].log_softmax(-1)
    return sum(log_p[len(prompt) - 1 + i, token] for i, token in enumerate(tokens))


@pytest.mark.parametrize("answers", [TRUE, ["<EOS>"] * 3, ["a violin in London", "<EOS>", "Polish"]])
def test_log_likelihoods_are_those_of_one_text_at_a_time(tiny, answers):
    model, tok = tiny
    rows = answer_rows(tok, REQUESTS, answers)
    pairs = zip(REQUESTS, answers, strict=True)
    expected = torch.stack([plain_log_likelihood(model, tok, request, answer) for request, answer in pairs])
    torch.testing.assert_close(answer_log_likelihoods(model, rows), expected, atol=1e-4, rtol=1e-5)
    for budget in (1, 10_000):
        torch.testing.assert_close(scores(model, rows, budget), expected.detach(), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_loop_is_plain_adam_on_the_weights(family, sign):
    model, tok = TINY[family]()
    model.double()
    hparams = settings(family, batch_size=3)
    reference, _ = TINY[family]()
    reference.double()
    adam = torch.optim.Adam(parameters(reference, hparams), lr=hparams.lr)
    nlls = []
    for _ in range(hparams.num_steps):
        per_fact = [
            -plain_log_likelihood(reference, tok, request, answer) / len(target_ids(tok, answer))
            for request, answer in zip(REQUESTS, TRUE, strict=True)
        ]
        adam.zero_grad()
        (sign * torch.stack(per_fact).mean()).backward()
        adam.step()
        nlls.append(float(torch.stack(per_fact).mean().detach()))
    edits = tune(model, tok, hparams, [nll_term(answer_rows(tok, REQUESTS, TRUE), sign)])
    assert edits.diagnostics["nll"] == pytest.approx(nlls, rel=1e-5)
    for found, expected in zip(parameters(model, hparams), parameters(reference, hparams), strict=True):
        assert (found - expected).abs().max() < 1e-5


def test_the_parts_add_up(family):
    """Half the rows in a part of their own with half the weight each: the gradient of the whole, with equal counts."""
    model, tok = TINY[family]()
    model.double()  # a first step of Adam is the sign of a gradient, and in float32 a small one is noise
    hparams = settings(family, batch_size=4, num_steps=1)
    rows = answer_rows(tok, REQUESTS[:2] * 2, TRUE[:2] * 2)
    whole = tune(model, tok, hparams, [nll_term(rows)])
    together = copies(model, hparams)
    whole.undo(model)
    tune(model, tok, hparams, [nll_term(rows[:2], 0.5), nll_term(rows[2:], 0.5)])
    for found, expected in zip(copies(model, hparams), together, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-8)


def test_the_budget_changes_nothing_but_the_batches(family):
    model, tok = TINY[family]()
    hparams = settings(family)
    results = []
    for budget in (1, 10_000):
        edits = tune(model, tok, hparams, batch_tokens=budget)
        results.append(copies(model, hparams))
        edits.undo(model)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_running_out_of_memory_halves_the_batch(family, monkeypatch):
    model, tok = TINY[family]()
    hparams = settings(family, batch_size=3, num_steps=1)
    edits = tune(model, tok, hparams)
    whole, nll = copies(model, hparams), edits.diagnostics["nll"]
    edits.undo(model)
    real, sizes = finetuning.answer_log_likelihoods, []

    def small_memory(model, rows):
        sizes.append(len(rows))
        if len(rows) > 1:
            raise torch.OutOfMemoryError("pretended")
        return real(model, rows)

    monkeypatch.setattr(finetuning, "answer_log_likelihoods", small_memory)
    edits = tune(model, tok, hparams)
    assert sizes == [3, 1, 1, 1] and edits.diagnostics["nll"] == pytest.approx(nll, rel=1e-5)
    for found, expected in zip(copies(model, hparams), whole, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_scores_halve_their_batches_too(family, monkeypatch):
    model, tok = TINY[family]()
    rows = answer_rows(tok, REQUESTS, TRUE)
    whole = scores(model, rows, 10_000)
    real = finetuning.answer_log_likelihoods

    def small_memory(model, rows):
        if len(rows) > 1:
            raise torch.OutOfMemoryError("pretended")
        return real(model, rows)

    monkeypatch.setattr(finetuning, "answer_log_likelihoods", small_memory)
    torch.testing.assert_close(scores(model, rows, 10_000), whole, atol=1e-4, rtol=1e-5)


def test_one_row_too_large_for_memory_is_an_error(family, monkeypatch):
    model, tok = TINY[family]()
    before = weights_hash(model)

    def no_memory(model, rows):
        raise torch.OutOfMemoryError("pretended")

    monkeypatch.setattr(finetuning, "answer_log_likelihoods", no_memory)
    with pytest.raises(torch.OutOfMemoryError):
        tune(model, tok, settings(family))
    assert weights_hash(model) == before


@pytest.mark.parametrize("limit", [1e-3, 5e-3])
def test_the_norm_constraint_holds_and_binds(family, limit):
    model, tok = TINY[family]()
    hparams = settings(family, norm_constraint=limit)
    before = copies(model, hparams)
    tune(model, tok, hparams)
    for new, old in zip(copies(model, hparams), before, strict=True):
        assert (new - old).abs().max().item() == pytest.approx(limit, rel=1e-3)


def test_enough_ends_the_run(family):
    model, tok = TINY[family]()
    hparams = settings(family, num_steps=8, batch_size=3)
    free = tune(model, tok, hparams)
    assert free.diagnostics["stopped"] == "num_steps" and len(free.diagnostics["nll"]) == 8
    limit = free.diagnostics["nll"][4] + 1e-6
    free.undo(model)
    edits = tune(model, tok, hparams, enough=lambda nll: nll < limit)
    assert edits.diagnostics["stopped"] == "enough"
    assert edits.diagnostics["nll"] == pytest.approx(free.diagnostics["nll"][:5])


def test_a_batch_that_has_enough_takes_no_step(family):
    model, tok = TINY[family]()
    before = weights_hash(model)
    edits = tune(model, tok, settings(family), enough=lambda nll: True)
    assert weights_hash(model) == before and len(edits.diagnostics["nll"]) == 1


def test_a_broken_gradient_ends_the_run_with_finite_weights(family):
    model, tok = TINY[family]()
    hparams, calls = settings(family, num_steps=5, batch_size=3), []
    rows = answer_rows(tok, REQUESTS, TRUE)

    def breaks_at_the_third_step(log_p, index):
        calls.append(1)
        return log_p * (float("nan") if len(calls) == 3 else 1.0)

    before = copies(model, hparams)
    edits = tune(model, tok, hparams, [Term(rows, breaks_at_the_third_step)])
    assert edits.diagnostics["stopped"] == "not finite" and len(edits.diagnostics["nll"]) == 2
    for new, old in zip(copies(model, hparams), before, strict=True):
        assert new.isfinite().all() and not torch.equal(new, old)


def test_bfloat16_weights_learn_by_steps_below_their_resolution(family):
    """The copies are float32: small steps add up to a change, though each alone would be rounded away."""
    model, tok = TINY[family](initializer_range=1.0)
    model.bfloat16()
    changed = []  # among weights of at least 1/2, whose neighbours in bfloat16 are 2⁻⁸ away: more than two steps
    for steps in (1, 30):
        hparams = settings(family, lr=3e-4, num_steps=steps, batch_size=3)
        before = copies(model, hparams)
        edits = tune(model, tok, hparams)
        pairs = zip(copies(model, hparams), before, strict=True)
        changed.append(sum(int((new != old)[old.abs() > 0.5].sum()) for new, old in pairs))
        edits.undo(model)
        assert all(weight.dtype == torch.bfloat16 for weight in parameters(model, hparams))
    assert changed[0] == 0 < changed[1]


def test_the_seed_decides_the_order(family):
    model, tok = TINY[family]()
    hashes = []
    for seed in (0, 0, 1, 2):
        edits = tune(model, tok, settings(family, batch_size=1, num_steps=1), seed=seed)
        hashes.append(weights_hash(model))
        edits.undo(model)
    assert hashes[0] == hashes[1] and len(set(hashes)) > 1


def test_gradients_and_flags_are_as_before(family):
    model, tok = TINY[family]()
    model.train()
    hparams = settings(family)
    fixed, watched = parameters(model, hparams)
    fixed.requires_grad_(False)
    watched.grad = torch.ones_like(watched)
    tune(model, tok, hparams)
    assert model.training and not fixed.requires_grad and watched.requires_grad
    assert fixed.grad is None and torch.equal(watched.grad, torch.ones_like(watched))
