import weakref

import pytest
import torch

from experiments.benchmarking.plain import find_target
from tests.tiny import MODULE_NAMES, REQUESTS, TARGET_SETTINGS, TEMPLATES, TINY
from util.editing import targets as module_under_test
from util.editing.objective import example
from util.editing.targets import find_targets
from util.hparams import MomentHParams
from util.request import Request


def settings(family, **changes):
    return MomentHParams(**TARGET_SETTINGS | MODULE_NAMES[family] | changes)


def search(model, tok, hparams, answers, layer=1, site="layer", batch_tokens=10_000, requests=REQUESTS, **options):
    return find_targets(
        model, tok, requests, answers, layer, site, hparams, TEMPLATES, batch_tokens=batch_tokens, **options
    )


@pytest.mark.parametrize("answers", [["<EOS>"] * 3, ["London", "Polish", "violin"]], ids=["neutral", "true"])
@pytest.mark.parametrize("site", ["layer", "module"])
@pytest.mark.parametrize("layer", [0, 2])
def test_batched_targets_equal_the_plain_loop(tiny, family, answers, site, layer):
    model, tok = tiny
    hparams = settings(family)
    found = search(model, tok, hparams, answers, layer=layer, site=site)
    for i, (request, answer) in enumerate(zip(REQUESTS, answers, strict=True)):
        value, loss, steps = find_target(model, tok, request, answer, layer, site, hparams, TEMPLATES)
        assert (found.values_ON[:, i] - value).norm() / value.norm() < 1e-4
        assert found.loss_N[i].item() == pytest.approx(loss, rel=1e-3)
        assert found.steps_N[i] == steps
    assert (found.values_ON - found.anchors_ON).norm() > 0.1


def test_the_last_layer_reaches_a_prompt_that_ends_with_its_subject(family):
    model, tok = TINY[family]()
    request = Request(prompt="Polish is spoken by {}", subject="Łukasz Żółć", target_true="Ada")
    found = search(model, tok, settings(family), ["Ada"], layer=3, requests=[request])
    value, _, steps = find_target(model, tok, request, "Ada", 3, "layer", settings(family), TEMPLATES)
    assert steps > 0
    torch.testing.assert_close(found.values_ON[:, 0], value, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("lens", [2, 3])
def test_the_loss_is_read_where_the_hparams_say(family, lens):
    model, tok = TINY[family]()
    hparams = settings(family, v_loss_layer=lens)
    found = search(model, tok, hparams, ["London"] * 3)
    value, _, _ = find_target(model, tok, REQUESTS[0], "London", 1, "layer", hparams, TEMPLATES)
    torch.testing.assert_close(found.values_ON[:, 0], value, atol=1e-4, rtol=1e-4)


def test_final_logits_ignore_the_lens(family):
    model, tok = TINY[family]()
    early, late = settings(family, v_loss_layer=2), settings(family, v_loss_layer=3)
    final = search(model, tok, early, ["London"] * 3, final_logits=True).values_ON
    torch.testing.assert_close(final, search(model, tok, late, ["London"] * 3).values_ON)
    assert not torch.allclose(final, search(model, tok, early, ["London"] * 3).values_ON, atol=1e-3)


def test_facts_stop_on_their_own(family, monkeypatch):
    """A threshold between the facts' losses: some stop early, and the others go on as if alone."""
    model, tok = TINY[family]()
    hparams = settings(family, v_num_grad_steps=12, clamp_norm_factor=4.0, v_lr=0.5)
    probe = search(model, tok, settings(family, v_num_grad_steps=4, clamp_norm_factor=4.0, v_lr=0.5), ["<EOS>"] * 3)
    monkeypatch.setattr(module_under_test, "STOP_BELOW", 1.01 * probe.loss_N.median().item())
    together = search(model, tok, hparams, ["<EOS>"] * 3)
    assert together.steps_N.unique().numel() > 1
    for i, request in enumerate(REQUESTS):
        alone = search(model, tok, hparams, ["<EOS>"], requests=[request])
        torch.testing.assert_close(together.values_ON[:, i], alone.values_ON[:, 0], atol=1e-4, rtol=1e-4)
        assert together.steps_N[i] == alone.steps_N[0]


def test_a_fact_already_there_takes_no_step(family, monkeypatch):
    model, tok = TINY[family]()
    monkeypatch.setattr(module_under_test, "STOP_BELOW", 1e9)
    found = search(model, tok, settings(family), ["<EOS>"] * 3)
    assert torch.equal(found.values_ON, found.anchors_ON) and found.steps_N.sum() == 0


def test_the_clamp_holds(family):
    model, tok = TINY[family]()
    found = search(model, tok, settings(family, clamp_norm_factor=0.05, v_lr=5.0), ["London"] * 3)
    ratio = (found.values_ON - found.anchors_ON).norm(dim=0) / found.anchors_ON.norm(dim=0)
    torch.testing.assert_close(ratio, torch.full_like(ratio, 0.05), atol=1e-4, rtol=1e-3)


def test_the_budget_changes_nothing_but_the_batches(family):
    model, tok = TINY[family]()
    whole = search(model, tok, settings(family), ["Polish"] * 3)
    split = search(model, tok, settings(family), ["Polish"] * 3, batch_tokens=1)
    torch.testing.assert_close(whole.values_ON, split.values_ON, atol=1e-4, rtol=1e-4)


def memory_for(facts, monkeypatch):
    """Batches of more facts run out of memory; returns the sizes that are tried."""
    real, sizes = module_under_test.assemble, []

    def assemble(model, examples, *rest):
        sizes.append(len(examples))
        if len(examples) > facts:
            raise torch.OutOfMemoryError("pretended")
        return real(model, examples, *rest)

    monkeypatch.setattr(module_under_test, "assemble", assemble)
    return sizes


def test_running_out_of_memory_halves_the_batch(family, monkeypatch):
    model, tok = TINY[family]()
    whole = search(model, tok, settings(family), ["Polish"] * 3)
    sizes = memory_for(1, monkeypatch)
    split = search(model, tok, settings(family), ["Polish"] * 3)
    assert sizes == [3, 1, 1, 1]
    torch.testing.assert_close(whole.values_ON, split.values_ON, atol=1e-4, rtol=1e-4)


def test_after_running_out_of_memory_later_batches_are_small_at_once(family, monkeypatch):
    model, tok = TINY[family]()
    hparams = settings(family, v_num_grad_steps=2)
    texts = example(tok, REQUESTS[0], "Polish", TEMPLATES).texts
    sizes = memory_for(2, monkeypatch)
    many = [REQUESTS[0]] * 12
    room = 4 * len(texts) * max(len(text.ids) for text in texts)
    found = search(model, tok, hparams, ["Polish"] * 12, requests=many, batch_tokens=room)
    assert sizes == [4, 2, 2, 2, 2, 2, 2]
    torch.testing.assert_close(found.values_ON, found.values_ON[:, :1].expand(-1, 12), atol=1e-4, rtol=1e-4)


def test_a_failed_batch_is_dropped_before_its_memory_is_given_back(monkeypatch):
    model, tok = TINY["llama"]()
    real, batches, alive = module_under_test.assemble, [], []

    def noted(*arguments):
        batch = real(*arguments)
        batches.append(weakref.ref(batch))
        return batch

    def small_memory(_model, batch, *_rest):
        if batch.count > 1:
            raise torch.OutOfMemoryError("pretended")

    monkeypatch.setattr(module_under_test, "assemble", noted)
    monkeypatch.setattr(module_under_test, "_optimise", small_memory)
    monkeypatch.setattr(module_under_test, "_refuse_broken", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(sum(one() is not None for one in batches)))
    search(model, tok, settings("llama"), ["Polish"] * 3)
    assert len(batches) == 4 and alive == [0]


def test_bfloat16_weights_keep_float32_targets(family):
    model, tok = TINY[family]()
    exact = search(model, tok, settings(family), ["London"] * 3)
    rounded = search(model.bfloat16(), tok, settings(family), ["London"] * 3)
    assert rounded.values_ON.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(exact.values_ON, rounded.values_ON, dim=0).min() > 0.98


def test_a_broken_model_is_named(family):
    model, tok = TINY[family]()
    with torch.no_grad():
        model.get_submodule(MODULE_NAMES[family]["ln_f_module"]).weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="finite"):
        search(model, tok, settings(family), ["London"] * 3)


def test_the_model_is_left_as_it_was(tiny, family):
    model, tok = tiny
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    search(model, tok, settings(family), ["London"] * 3)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training and all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or "forward" in m.__dict__ for m in model.modules())
