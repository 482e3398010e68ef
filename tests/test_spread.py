"""A model spread over several GPUs (pretended) gives what it gives on one device, to the digit."""

from dataclasses import dataclass

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from baselines.registry import METHODS, method
from dsets import Record
from experiments.measuring.generation import TopK, generate_texts
from experiments.measuring.perplexity import PerplexityText, perplexity
from experiments.measuring.scoring import score
from experiments.tracing.restoring import TraceSettings, trace
from experiments.tracing.traced_facts import as_fact
from tests.contract import forget, hparams_for
from tests.families import FAMILIES
from tests.pretended import Pretended, device_of, on, spread
from tests.tiny import MODULE_NAMES, REQUESTS, TEXT, tiny_llama, tokenizer
from util.editing import statistics, target_cache
from util.editing.statistics import CorpusMoments
from util.editing.target_cache import TargetCache
from util.hparams import TargetHParams
from util.weights import read_weight

pytestmark = pytest.mark.untraced

DOCUMENTS = ("Ada Lovelace was born in London", "The capital of Northland is Port Alba.")


@dataclass
class Corpus:
    name: str = "two"
    digest: str = "two"
    documents: tuple[str, ...] = DOCUMENTS


def llama():
    return tiny_llama(attn_implementation="eager")


def both(work, first_layers=2):
    """work(model, tokenizer) on one device, and on a spread model."""
    plain = work(*llama())
    model, tokenizer = llama()
    with Pretended():
        found = work(spread(model, first_layers), tokenizer)
    return plain, found


def test_the_pretence_refuses_what_cuda_refuses():
    model, tokenizer = llama()
    ids = torch.tensor([[1, 2, 3]])
    expected = model(input_ids=ids).logits
    with Pretended():
        spread(model, 1)
        first, last = model.model.layers[0].mlp.down_proj.weight, model.lm_head.weight
        assert (device_of(first), device_of(last)) == ("cuda:0", "cuda:1")
        with pytest.raises(RuntimeError, match="cuda:0, cuda:1"):
            first.T @ last.T
        with pytest.raises(RuntimeError, match="cuda:0, cuda:1"):
            first[torch.tensor([0], device="cuda:1")]
        with pytest.raises(RuntimeError, match="cuda:0, cuda:1"):
            first.sum() + last.sum()
        with pytest.raises(RuntimeError, match="cuda:0, cpu"):
            torch.zeros(3, device="cuda:0")[torch.tensor([0])] = torch.zeros(1)
        assert (first[torch.tensor([0])] + torch.tensor(1.0)).device == torch.device("cuda:0")
        logits = model(input_ids=ids).logits
        assert logits.device == torch.device("cuda:1")
    assert torch.equal(logits, expected)


SCORED = {
    "scores": lambda m, t: score(m, t, [("Ada Lovelace was born in", "London")], batch_tokens=100),
    "generation": lambda m, t: generate_texts(m, t, ["Ada", "The bridge"], max_new_tokens=4, batch_tokens=100),
    "sampling": lambda m, t: generate_texts(m, t, ["Ada"], max_new_tokens=4, batch_tokens=100, sampling=TopK(5)),
    "heldout": lambda m, t: perplexity(m, t, PerplexityText("heldout", DOCUMENTS, ""), batch_tokens=100),
    "paper": lambda m, t: perplexity(m, t, PerplexityText("paper", DOCUMENTS, ""), batch_tokens=100),
}


@pytest.mark.parametrize("what", SCORED)
def test_measuring(what):
    plain, found = both(SCORED[what])
    assert found == plain


@pytest.mark.parametrize("first_layers", [1, 2, 3])
def test_statistics(first_layers):
    names = [MODULE_NAMES["llama"]["rewrite_module_tmp"].format(layer) for layer in (1, 2)]

    def work(model, tokenizer):
        moments = CorpusMoments(model, tokenizer, names, Corpus(), progress=False)
        return [moments[name] for name in names]

    plain, found = both(work, first_layers)
    assert all(torch.equal(one, other) for one, other in zip(plain, found))
    assert [device_of(one) for one in found] == [f"cuda:{int(layer >= first_layers)}" for layer in (1, 2)]


SEVERAL_PLACES = ("ZeroUnlearn", "ROME")
"""Of two layers and of one. The other methods are cut between the two edited layers alone: each then lies on another
device than the embeddings or than the head.
"""


@pytest.mark.parametrize(
    ("name", "first_layers"),
    [(name, 2) for name in METHODS if name != "BASE"] + [(name, n) for name in SEVERAL_PLACES for n in (1, 3)],
)
def test_every_method_edits_and_takes_it_back(name, first_layers):
    hparams = hparams_for(name, "llama")

    def work(model, tokenizer):
        before = [read_weight(model, module).clone() for module in hparams.rewrite_modules()]
        edits = forget(name, model, tokenizer, hparams)
        after = [read_weight(model, module).clone() for module in hparams.rewrite_modules()]
        edits.undo(model)
        assert all(torch.equal(read_weight(model, m), w) for m, w in zip(hparams.rewrite_modules(), before))
        return after

    plain, found = both(work, first_layers)
    for one, other in zip(plain, found):
        torch.testing.assert_close(torch.Tensor.cpu(other), one)


SEARCHING = [name for name in METHODS if issubclass(method(name).HParams, TargetHParams)]


@pytest.fixture
def tensors_read_onto(monkeypatch):
    """Tensors of a file are said to be on the device that is asked for."""
    real = target_cache.read_tensors

    def read(path, key, device):
        found = real(path, key, "cpu")
        return found and (on(found[0], str(device)), found[1])

    monkeypatch.setattr(target_cache, "read_tensors", read)


@pytest.mark.usefixtures("tensors_read_onto")
@pytest.mark.parametrize(
    ("name", "first_layers", "one_by_one"),
    [(name, n, False) for name in SEARCHING for n in (1, 2)] + [(name, 1, True) for name in ("MEMIT", "ROME")],
)
def test_edits_by_kept_targets_are_those_by_searched_ones(name, first_layers, one_by_one, tmp_path):
    """Kept one by one, a fact that was searched before stands beside others that are searched anew."""
    hparams, cache = hparams_for(name, "llama"), TargetCache(tmp_path, one_by_one=one_by_one)
    model, tokenizer = llama()
    after = []
    with Pretended():
        spread(model, first_layers)
        for requests in ([REQUESTS[:1]] if one_by_one else []) + [REQUESTS, REQUESTS]:
            edits = forget(name, model, tokenizer, hparams, requests=requests, target_cache=cache)
            after.append([read_weight(model, module).clone() for module in hparams.rewrite_modules()])
            edits.undo(model)
    assert cache.saved > 0
    assert all(torch.equal(one, other) for one, other in zip(after[-2], after[-1], strict=True))


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [(name, None) for name in ("ZeroUnlearn", "ZeroUnlearn_GD", "ROME", "MEMIT", "AlphaEdit")] + [("ROME", 10.0)],
)
def test_edits_from_measured_moments(name, tolerance, monkeypatch):
    """What is computed from the moments is made once, waits on the CPU, and is used where its layer lies.

    With a tolerance the measuring ends early: it is the same measuring for every method.
    """
    monkeypatch.setattr(statistics, "_room", lambda device: 0)
    monkeypatch.setattr(statistics, "DOCUMENTS_PER_BLOCK", 2)
    hparams = hparams_for(name, "llama")

    def work(model, tokenizer):
        names, corpus = hparams.rewrite_modules(), Corpus(documents=DOCUMENTS + tuple(TEXT) * 4)
        moments = CorpusMoments(model, tokenizer, names, corpus, progress=False, tolerance=tolerance)
        after = []
        for _ in range(2):
            edits = forget(name, model, tokenizer, hparams, moments=moments)
            after.append([torch.Tensor.cpu(read_weight(model, module)).clone() for module in names])
            edits.undo(model)
        torch.testing.assert_close(*after)
        return after[0]

    plain, found = both(work)
    for one, other in zip(plain, found):
        torch.testing.assert_close(other, one)


def test_causal_tracing():
    def work(model, tokenizer):
        records = [
            Record(case_id=i, prompt=one.prompt, subject=one.subject, target_true=one.target_true)
            for i, one in enumerate(REQUESTS)
        ]
        facts = [as_fact(tokenizer, record) for record in records]
        return trace(model, facts, ["mlp", "state"], TraceSettings(samples=2))

    plain, found = both(work)
    for one, other in zip(plain, found, strict=True):
        assert (other.clean, other.corrupted) == pytest.approx((one.clean, one.corrupted))
        for kind in one.restored_PL:
            torch.testing.assert_close(other.restored_PL[kind], one.restored_PL[kind])


@pytest.mark.parametrize("name", ["ZeroUnlearn", "ROME"])
@pytest.mark.parametrize("first_layers", [1, 2])
def test_edits_of_a_model_that_norms_the_mlps_output(name, first_layers):
    settings = AutoConfig.for_model("olmo2", **FAMILIES["olmo2"][1], attn_implementation="eager")

    def edited(place):
        torch.manual_seed(0)
        model, hparams = place(AutoModelForCausalLM.from_config(settings).eval()), hparams_for(name, "llama")
        forget(name, model, tokenizer(bos=True, pad=True), hparams)
        return [read_weight(model, module).clone() for module in hparams.rewrite_modules()]

    plain = edited(lambda model: model)
    with Pretended():
        found = edited(lambda model: spread(model, first_layers))
    for here, there in zip(plain, found, strict=True):
        torch.testing.assert_close(there, here, atol=1e-6, rtol=1e-5)
