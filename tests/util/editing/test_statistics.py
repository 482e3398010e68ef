import threading
import time
import weakref
from dataclasses import dataclass, field

import pytest
import torch
from transformers.cache_utils import DynamicCache

from tests.memory import Peak
from tests.pretended import Pretended, device_of, spread
from tests.tiny import EPSILON, MODULE_NAMES, REQUESTS, TEXT, TINY, tokenizer
from util.editing import statistics
from util.editing.keys import ModuleSite, plain
from util.editing.statistics import CorpusMoments
from util.errors import UserError
from util.hooks import capture
from util.moments import SecondMoment
from util.tokens import encode
from util.weights import WeightEdits


@dataclass
class Corpus:
    name: str = "five texts"
    digest: str = "five"
    documents: list = field(default_factory=lambda: list(TEXT))


def names(family, layers=(1, 2)):
    return [MODULE_NAMES[family]["rewrite_module_tmp"].format(layer) for layer in layers]


def make(model, tok, family, corpus=None, **options):
    settings = {"dtype": "float64", "progress": False, "batch_tokens": 60} | options
    return CorpusMoments(model, tok, names(family), corpus or Corpus(), **settings)


def one_by_one(model, tok, name, documents):
    total, count = 0, 0
    for text in documents:
        with torch.no_grad(), capture({"k": model.get_submodule(name)}, inputs=True) as seen:
            model(input_ids=torch.tensor([encode(tok, text)]))
        keys = seen["k"].reshape(-1, seen["k"].shape[-1]).double()
        total, count = total + keys.T @ keys, count + len(keys)
    return total / count


def test_moments_of_all_layers_equal_the_plain_loop(tiny, family):
    model, tok = tiny
    moments = make(model, tok, family)
    assert list(moments) == names(family) and len(moments) == 2
    for name in names(family):
        torch.testing.assert_close(moments[name], one_by_one(model, tok, name, TEXT), atol=1e-5, rtol=1e-4)


def test_one_pass_serves_all_layers(family, monkeypatch):
    model, tok = TINY[family]()
    passes = []
    monkeypatch.setattr(CorpusMoments, "_measure", counted(CorpusMoments._measure, passes))
    moments = make(model, tok, family)
    for name in moments:
        assert moments[name].shape == (44, 44)
    assert len(passes) == 1


def counted(function, calls):
    def wrapper(*args):
        calls.append(1)
        return function(*args)

    return wrapper


def test_documents_are_cut_and_empty_ones_left_out(family, monkeypatch):
    model, tok = TINY[family]()
    monkeypatch.setattr(statistics, "LONGEST_DOCUMENT", 3)
    short = make(model, tok, family, Corpus(documents=[*TEXT, ""]))
    cut = [tok.decode(encode(tok, text)[:3], skip_special_tokens=True) for text in TEXT]
    empty = [""] if family == "llama" else []
    name = names(family)[0]
    torch.testing.assert_close(short[name], one_by_one(model, tok, name, cut + empty), atol=1e-5, rtol=1e-4)


def test_the_cache_is_used_and_named_by_everything(family, tmp_path, monkeypatch):
    model, tok = TINY[family]()
    first = dict(make(model, tok, family, cache_dir=tmp_path))
    assert len(list(tmp_path.iterdir())) == 2
    passes = []
    monkeypatch.setattr(CorpusMoments, "_measure", counted(CorpusMoments._measure, passes))
    again = dict(make(model, tok, family, cache_dir=tmp_path))
    assert not passes and all(torch.equal(first[name], again[name]) for name in first)
    dict(make(model, tok, family, cache_dir=tmp_path, dtype="float32"))
    dict(make(model, tok, family, Corpus(digest="other"), cache_dir=tmp_path))
    dict(make(TINY[family](**EPSILON[family])[0], tok, family, cache_dir=tmp_path))
    with torch.no_grad():
        next(model.parameters())[0] += 1
    dict(make(model, tok, family, cache_dir=tmp_path))
    assert len(passes) == 4 and len(list(tmp_path.iterdir())) == 10


def test_another_tokenizer_is_another_measurement(tmp_path):
    model, tok = TINY["llama"]()
    without_bos = tokenizer(bos=False, pad=True)
    first = dict(make(model, tok, "llama", cache_dir=tmp_path))
    other = dict(make(model, without_bos, "llama", cache_dir=tmp_path))
    fresh = dict(make(model, without_bos, "llama"))
    for name in first:
        assert torch.equal(other[name], fresh[name]) and not torch.equal(other[name], first[name])


def test_a_damaged_file_is_measured_anew(family, tmp_path, caplog):
    model, tok = TINY[family]()
    first = dict(make(model, tok, family, cache_dir=tmp_path))
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:50])
    again = dict(make(model, tok, family, cache_dir=tmp_path))
    assert "damaged" in caplog.text and all(torch.equal(first[name], again[name]) for name in first)


def test_a_folder_that_cannot_hold_moments_is_told_before_they_are_measured(family, tmp_path, monkeypatch):
    monkeypatch.setattr(CorpusMoments, "_measure_block", lambda *_: pytest.fail("measured first"))
    (tmp_path / "taken").touch()
    with pytest.raises(UserError, match="choose another ZEROUNLEARN_STATS"):
        dict(make(*TINY[family](), family, cache_dir=tmp_path / "taken" / "stats"))


def test_two_that_start_cold_measure_once(tmp_path, monkeypatch, caplog):
    passes, begun = [], threading.Event()

    def slow(self, *rest):
        begun.set()
        time.sleep(0.3)
        return measure(self, *rest)

    measure = counted(CorpusMoments._measure, passes)
    monkeypatch.setattr(CorpusMoments, "_measure", slow)
    both = [make(*TINY["llama"](), "llama", cache_dir=tmp_path) for _ in range(2)]
    first = threading.Thread(target=dict, args=(both[0],))
    first.start()
    assert begun.wait(timeout=60)
    second = dict(both[1])
    first.join()
    assert len(passes) == 1 and "another process is making" in caplog.text
    assert len(second) == 2 and all(torch.equal(second[name], both[0][name]) for name in second)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_interrupted_measurement_goes_on(family, tmp_path, monkeypatch):
    model, tok = TINY[family]()
    whole = dict(make(model, tok, family))
    monkeypatch.setattr(statistics, "DOCUMENTS_PER_BLOCK", 2)
    monkeypatch.setattr(statistics, "SAVE_EVERY_SECONDS", -1)
    real, blocks = CorpusMoments._measure_block, []

    def interrupted(self, block, *rest):
        blocks.append(block)
        if len(blocks) == 3:
            raise KeyboardInterrupt
        real(self, block, *rest)

    monkeypatch.setattr(CorpusMoments, "_measure_block", interrupted)
    with pytest.raises(KeyboardInterrupt):
        dict(make(model, tok, family, cache_dir=tmp_path))
    resumed = dict(make(model, tok, family, cache_dir=tmp_path))
    assert blocks[3:] == [TEXT[4:]]
    for name in whole:
        torch.testing.assert_close(resumed[name], whole[name], atol=1e-5, rtol=1e-4)
    assert not list(tmp_path.glob("*.partial"))


def test_an_edited_model_is_refused(family):
    model, tok = TINY[family]()
    moments, edits = make(model, tok, family), WeightEdits()
    edits.write(model, names(family)[0], torch.zeros(24, 44))
    with pytest.raises(ValueError, match="edited"):
        moments[names(family)[0]]
    edits.undo(model)
    assert moments[names(family)[0]].isfinite().all()


def test_errors(family):
    model, tok = TINY[family]()
    with pytest.raises(KeyError, match="asked for"):
        make(model, tok, family)["something"]
    with pytest.raises(UserError, match="no tokens"):
        make(model, tok, family, Corpus(documents=[]))[names(family)[0]]


def test_derived_values_are_built_once(family):
    model, tok = TINY[family]()
    moments, calls = make(model, tok, family), []
    for key in ((1,), (1,), (2,)):
        moments.derived(key, lambda: calls.append(1) or torch.zeros(1))
    assert len(calls) == 2
    for number in range(20):
        moments.derived(("step", number), lambda: torch.zeros(1))
    for number in range(20 - statistics.DERIVED_PER_MODULE * len(moments), 20):
        moments.derived(("step", number), pytest.fail)
    moments.derived(("step", 0), lambda: calls.append(1) or torch.zeros(1))
    assert len(calls) == 3


def test_derived_values_beyond_a_gpus_share_wait_on_the_cpu_and_come_back(monkeypatch):
    model, tok = TINY["llama"]()
    moments = make(model, tok, "llama")
    monkeypatch.setattr(statistics, "_room", lambda device: 2 * torch.zeros(3).nbytes)
    with Pretended():
        made = [
            weakref.ref(moments.derived((i,), lambda i=i: torch.full((3,), float(i), device="cuda:1")))
            for i in range(4)
        ]
        assert [one() is not None for one in made] == [False, False, True, True]
        again = moments.derived((0,), pytest.fail)
        assert device_of(again) == "cuda:1" and again.tolist() == [0.0] * 3
        assert [one() is not None for one in made] == [False, False, False, True]
        moments.offload()
        assert [one() is not None for one in made] == [False] * 4


def test_running_out_of_memory_halves_the_batches_and_counts_nothing_twice(family, monkeypatch):
    model, tok = TINY[family]()
    whole = make(model, tok, family, batch_tokens=10_000)
    expected = [whole[name] for name in names(family)]
    real, tried = statistics.outer, []

    def small_memory(inputs, wanted):
        tried.append(len(inputs))
        if len(inputs) > 60 and len(tried) % 2 == 0:  # the second module, when the first one is through
            raise torch.OutOfMemoryError("pretended")
        return real(inputs, wanted)

    monkeypatch.setattr(statistics, "outer", small_memory)
    found = make(model, tok, family, batch_tokens=10_000)
    for name, one in zip(names(family), expected, strict=True):
        torch.testing.assert_close(found[name], one, atol=1e-6, rtol=1e-5)
    assert max(tried) > 60 >= tried[-1]


def test_sums_of_a_batch_are_gone_before_the_next_makes_its_own(family, monkeypatch):
    model, tok = TINY[family]()
    real, made, alive = statistics.outer, [], []

    def noted(*arguments):
        alive.append(sum(one() is not None for one in made))
        found = real(*arguments)
        made.append(weakref.ref(found))
        return found

    monkeypatch.setattr(statistics, "outer", noted)
    make(model, tok, family, batch_tokens=60)[names(family)[0]]
    assert len(alive) > 2 * len(names(family)) and max(alive) < len(names(family))


def test_cached_moments_are_read_to_where_their_module_lies(monkeypatch):
    model, tok = TINY["llama"]()
    read = {}
    monkeypatch.setattr(statistics.MomentCache, "read", lambda _self, name, device: read.setdefault(name, device))
    moments = make(model, tok, "llama")
    with Pretended():
        spread(model, 2)
        moments[names("llama")[0]]
    assert [str(read[name]) for name in names("llama")] == ["cuda:0", "cuda:1"]


def test_no_keys_and_values_are_kept(family, monkeypatch):
    model, tok = TINY[family]()
    made = []
    real = DynamicCache.__init__
    monkeypatch.setattr(DynamicCache, "__init__", lambda self, *a, **k: made.append(1) or real(self, *a, **k))
    make(model, tok, family)[names(family)[0]]
    plain(model, tok, REQUESTS, ModuleSite(names(family)[0]), batch_tokens=100)
    assert not made
    model(input_ids=torch.tensor([[1, 2]]))
    assert made


def test_sums_go_as_their_moments_come(monkeypatch):
    """Four modules: at no time four float64 sums beside all their float32 moments."""
    size, (model, tok) = 64, TINY["llama"]()
    moments = make(model, tok, "llama", dtype="float32")
    moments.names = names("llama", range(4))

    def measured(modules):
        sums = {name: SecondMoment(size) for name in modules}
        for one in sums.values():
            one.count = 1
        return sums, {}

    monkeypatch.setattr(moments, "_measure", measured)
    with Peak() as peak:
        dict(moments)
    assert peak.most <= (4 * 8 + 8 + 4) * size**2
