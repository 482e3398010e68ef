"""Causal tracing against the plain form: one full forward pass per restored state."""

from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch

from dsets import Record
from experiments.tracing import restoring as runs
from experiments.tracing.pieces import PIECES
from experiments.tracing.restoring import TraceSettings, default_window, trace, window
from experiments.tracing.traced_facts import as_fact, known_facts
from tests.families import build
from tests.tiny import TINY, tokenizer
from util.hooks import by_row, capture, patch
from util.likelihood import Answered
from util.modeling import attention_modules, decoder_layers, module, module_names
from util.tokens import target_ids

RECORDS = [
    Record(case_id=0, prompt="{} was born in", subject="Ada Lovelace", target_true="London"),
    Record(case_id=1, prompt="The mother tongue of {} is", subject="Łukasz Żółć", target_true="Polish"),
    Record(case_id=2, prompt="A violin is played by {}", subject="J. van Dyke", target_true="for a living"),
]


@pytest.fixture(params=["llama", "gpt2", "opt", "gpt_neox", "gptj", "gemma2"])
def traced(request):
    """(model, facts) of families whose embeddings, layers and MLPs differ in form."""
    model, _ = build(request.param)
    tok = tokenizer(bos=True, pad=False)
    return model, [as_fact(tok, record, whole_answer=True) for record in RECORDS]


def plain_probability(model, fact, *changes) -> float:
    """exp Σ log p of the answer in a full forward pass with the given (module, change) patches."""
    with torch.no_grad(), ExitStack() as stack:
        for part, change in changes:
            stack.enter_context(patch(part, change))
        log_p = model(input_ids=torch.tensor([fact.row.ids])).logits[0].float().log_softmax(-1)
    return sum(log_p[len(fact.row.prompt) - 1 + i, token] for i, token in enumerate(fact.row.answer)).exp().item()


def plain_blurs(model, facts, settings):
    """Each fact's noise, (S, T, E), drawn as documented: from the seed and the fact's number."""
    embeddings = model.get_input_embeddings()
    with torch.no_grad():
        subjects = [embeddings(torch.tensor(fact.row.ids))[fact.first : fact.last + 1] for fact in facts]
    deviation = torch.cat(subjects).std()
    for number, (fact, subject) in enumerate(zip(facts, subjects, strict=True)):
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + number)
        blur = torch.zeros(settings.samples, len(fact.row.ids), subject.shape[1])
        shape = (settings.samples, *subject.shape)
        blur[:, fact.first : fact.last + 1] = settings.noise * deviation * torch.randn(shape, generator=generator)
        yield blur


def parts(model, kind):
    template = module_names(model)["rewrite_module_tmp"]
    return {
        "state": list(decoder_layers(model)),
        "mlp": [module(model, template.format(i)) for i in range(4)],
        "attention": attention_modules(model),
    }[kind]


@pytest.mark.untraced
@pytest.mark.parametrize("kind", PIECES)
def test_every_number_equals_the_plain_form(traced, kind):
    model, facts = traced[0], traced[1][1:]  # a subject of many bytes amid the prompt, and one at its end
    settings = TraceSettings(samples=2, window=3, seed=5, batch_tokens=100)
    found = trace(model, facts, [kind], settings)
    embeddings, modules = model.get_input_embeddings(), parts(model, kind)
    for fact, result, blur in zip(facts, found, plain_blurs(model, facts, settings), strict=True):
        with capture(dict(enumerate(modules))) as clean:
            assert result.clean == pytest.approx(plain_probability(model, fact), rel=1e-4)
        expected = torch.zeros(len(result.positions), 4)
        for noise in blur:
            for row, position in enumerate(fact.traced()):
                for layer in range(4):
                    among = [layer] if kind == "state" else window(layer, 3, 4)
                    puts = [(modules[i], put(clean[i], position)) for i in among]
                    probability = plain_probability(model, fact, (embeddings, noise.add), *puts)
                    expected[row, layer] += probability / len(blur)
        torch.testing.assert_close(result.restored_PL[kind], expected, atol=1e-6, rtol=1e-3)
        alone = [plain_probability(model, fact, (embeddings, noise.add)) for noise in blur]
        assert result.corrupted == pytest.approx(sum(alone) / 2, rel=1e-3)


def put(clean, position):
    def change(hidden):
        changed = hidden.clone()
        by_row(changed, 1)[:, position] = by_row(clean, 1)[:, position]
        return changed

    return change


def test_runs_go_on_where_something_is_put_back(traced, monkeypatch):
    """What the families above are compared in; a model that cannot go on runs all tokens, to the same numbers."""
    model, facts = traced
    settings, made = TraceSettings(samples=2, window=3), []
    real = runs.goes_on
    monkeypatch.setattr(runs, "goes_on", lambda *given: made.append(real(*given)) or made[-1])
    short = trace(model, facts, PIECES, settings)
    assert made == [True]
    for name in ("record", "goes_on"):
        monkeypatch.setattr(runs, name, lambda *_: None)
    for one, other in zip(short, trace(model, facts, PIECES, settings), strict=True):
        assert (one.clean, one.corrupted) == pytest.approx((other.clean, other.corrupted), rel=1e-4)
        for kind in PIECES:
            torch.testing.assert_close(one.restored_PL[kind], other.restored_PL[kind], atol=1e-6, rtol=1e-3)


@pytest.mark.untraced
def test_batches_do_not_matter(traced):
    model, facts = traced
    small, large = (
        trace(model, facts, ["state"], TraceSettings(samples=2, batch_tokens=tokens)) for tokens in (1, 100_000)
    )
    for one, other in zip(small, large, strict=True):
        torch.testing.assert_close(one.restored_PL["state"], other.restored_PL["state"], atol=1e-6, rtol=1e-3)
        assert one.corrupted == pytest.approx(other.corrupted, rel=1e-3)


def test_running_out_of_memory_halves_the_batches(monkeypatch):
    model, _ = build("llama")
    facts = [as_fact(tokenizer(bos=True, pad=False), record, whole_answer=True) for record in RECORDS]
    whole = trace(model, facts, PIECES, TraceSettings(samples=2, window=2, batch_tokens=100_000))
    real, refused = runs.answers_in, []

    def small_memory(model, hidden, rows, cuts):
        if len(rows) > 4:
            refused.append(len(rows))
            raise torch.OutOfMemoryError("pretended")
        return real(model, hidden, rows, cuts)

    monkeypatch.setattr(runs, "answers_in", small_memory)
    halved = trace(model, facts, PIECES, TraceSettings(samples=2, window=2, batch_tokens=100_000))
    assert refused
    for one, other in zip(halved, whole, strict=True):
        assert (one.clean, one.corrupted) == pytest.approx((other.clean, other.corrupted), rel=1e-4)
        for kind in PIECES:
            torch.testing.assert_close(one.restored_PL[kind], other.restored_PL[kind], atol=1e-5, rtol=1e-4)


def test_the_last_state_brings_everything_back_and_no_noise_changes_nothing(traced):
    model, facts = traced
    first_token = [replace(fact, row=Answered(fact.row.prompt, fact.row.answer[:1])) for fact in facts]
    for result in trace(model, first_token, ["state"], TraceSettings(samples=2)):
        assert result.restored_PL["state"][-1, -1] == pytest.approx(result.clean, rel=1e-4)
    for result in trace(model, facts, PIECES, TraceSettings(samples=1, noise=0.0)):
        assert result.corrupted == pytest.approx(result.clean, rel=1e-4)
        for restored in result.restored_PL.values():
            torch.testing.assert_close(restored, torch.full_like(restored, result.clean), atol=1e-7, rtol=1e-3)


def test_only_the_positions_asked_for(traced):
    model, facts = traced
    settings = TraceSettings(samples=2)
    everywhere = trace(model, facts, ["mlp"], settings)
    for whole, part in zip(
        everywhere, trace(model, facts, ["mlp"], settings, positions=lambda fact: [fact.last]), strict=True
    ):
        row = whole.positions.index(part.fact.last)
        torch.testing.assert_close(part.restored_PL["mlp"][0], whole.restored_PL["mlp"][row], atol=1e-6, rtol=1e-3)


def test_the_model_is_left_as_it_was(traced):
    model, facts = traced
    model.train()
    trace(model, facts, PIECES, TraceSettings(samples=1))
    assert model.training and all("forward" not in layer.__dict__ for layer in decoder_layers(model))
    assert not any(part._forward_hooks for part in model.modules())


def test_known_facts_are_those_whose_answer_is_the_argmax():
    model, tok = TINY["gpt2"]()
    records = [
        *RECORDS,
        Record(case_id=3, prompt="{} is in", subject="Ada", target_true="the end"),
        Record(case_id=4, prompt="{} likes", subject="Ada", target_true="the"),
    ]
    with torch.no_grad():  # a model that says " the" to everything
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.fill_(1)
        model.transformer.wte.weight.zero_()[target_ids(tok, "the")[0]] = 1
    for whole, limit, expected, tried in ((False, 9, [3, 4], 5), (True, 9, [4], 5), (False, 1, [3], 4)):
        facts, seen = known_facts(model, tok, records, limit, whole_answer=whole, batch_tokens=100)
        assert [fact.case_id for fact in facts] == expected and seen == tried


def test_windows():
    assert [list(window(i, 3, 5)) for i in range(5)] == [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4]]
    assert list(window(2, 2, 5)) == [1, 2] and list(window(2, 4, 5)) == [0, 1, 2, 3]
    assert list(window(20, 10, 48)) == list(range(15, 25))
    assert list(window(2, 1, 5)) == [2] and list(window(0, 9, 2)) == [0, 1]
    assert default_window(TINY["llama"]()[0]) == 1
