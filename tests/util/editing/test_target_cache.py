"""Targets are searched once for everything that determines them, and anew for anything else."""

from dataclasses import replace

import pytest
import torch

from tests.contract import RETAIN, hparams_for
from tests.tiny import EPSILON, REQUESTS, TEMPLATES, TINY, tokenizer
from util.editing import setting as setting_module
from util.editing.setting import Setting
from util.editing.target_cache import TargetCache
from util.request import Frame
from util.weights import read_weight


@pytest.fixture
def searches(monkeypatch):
    """One entry per search that is made."""
    made, real = [], setting_module.find_targets
    monkeypatch.setattr(setting_module, "find_targets", lambda *a, **k: made.append(a) or real(*a, **k))
    return made


def asked(family, folder, **changes) -> Setting:
    model, tok = TINY[family]()
    own = {"model": model, "tokenizer": tok, "requests": REQUESTS, "context_templates": TEMPLATES}
    return Setting(**own | {"target_cache": TargetCache(folder)} | changes)


def test_the_same_search_is_made_once_whoever_asks(family, tmp_path, searches):
    memit, zero = hparams_for("MEMIT", family), hparams_for("ZeroUnlearn", family)
    settings = [asked(family, tmp_path), asked(family, tmp_path)]
    first = settings[0].targets(memit, ["<EOS>"] * 3, 2, "layer")
    again = settings[1].targets(zero, ["<EOS>"] * 3, 2, "layer")
    assert len(searches) == 1
    assert settings[0].target_cache.saved == 0 < settings[1].target_cache.saved
    for one, other in zip(vars(first).values(), vars(again).values(), strict=True):
        assert torch.equal(one, other) and one.dtype == other.dtype


def test_anything_that_decides_is_another_search(family, tmp_path, searches):
    hparams, answers = hparams_for("MEMIT", family), ["<EOS>"] * 3
    base = asked(family, tmp_path)
    base.targets(hparams, answers, 2, "layer")
    other_tokenizer = tokenizer(bos=base.tokenizer.bos_token is not None, pad=False, vocabulary=390)
    edited, _ = TINY[family]()
    read_weight(edited, hparams.rewrite_module(1)).mul_(1.01)
    for setting in (
        replace(base, requests=REQUESTS[::-1]),
        replace(base, requests=[*REQUESTS[:2], RETAIN[0]]),
        replace(base, requests=[*REQUESTS[:2], replace(REQUESTS[2], frame=Frame(before="You: "))]),
        replace(base, requests=[*REQUESTS[:2], replace(REQUESTS[2], answer_prefix="\n")]),
        replace(base, context_templates=[["{}"]]),
        replace(base, tokenizer=other_tokenizer),
        replace(base, model=edited),
        replace(base, model=TINY[family](**EPSILON[family])[0]),
    ):
        before = len(searches)
        setting.targets(hparams, answers, 2, "layer")
        assert len(searches) == before + 1
    for other in (
        (hparams, ["London"] * 3, 2, "layer"),
        (hparams, answers, 1, "layer"),
        (hparams, answers, 2, "module"),
    ):
        before = len(searches)
        base.targets(*other)
        assert len(searches) == before + 1
    before = len(searches)
    base.targets(hparams_for("MEMIT", family, v_lr=0.2), answers, 2, "layer")
    base.targets(hparams, answers, 2, "layer", final_logits=True)
    assert len(searches) == before + 2
    base.targets(hparams, answers, 2, "layer")
    assert len(searches) == before + 2


def test_a_damaged_file_is_searched_anew(family, tmp_path, searches, caplog):
    hparams = hparams_for("MEMIT", family)
    expected = asked(family, tmp_path).targets(hparams, ["<EOS>"] * 3, 2, "layer").values_ON
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-40])
    found = asked(family, tmp_path).targets(hparams, ["<EOS>"] * 3, 2, "layer").values_ON
    assert len(searches) == 2 and "damaged" in caplog.text
    torch.testing.assert_close(found, expected)
