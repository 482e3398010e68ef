"""collect_stats.py from the command line."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from experiments import collect_stats
from experiments.running import collecting
from experiments.running.reading import read_hparams
from experiments.running.session import open_session
from experiments.running.settings import RunSettings
from tests.tiny import MODULE_NAMES, TARGET_SETTINGS, TEXT, TINY
from tests.zerounlearn.test_edit import OWN
from util import modeling
from util.editing.statistics import CorpusMoments
from util.errors import UserError


@pytest.fixture
def asked(tmp_path, family, monkeypatch):
    """Flags for a tiny model, hparams of its own and a corpus of five documents; statistics go to a fresh folder."""
    model, tok = TINY[family]()
    model.save_pretrained(tmp_path / "tiny")
    tok.save_pretrained(tmp_path / "tiny")
    (tmp_path / "corpus.txt").write_text("\n\n".join(TEXT), encoding="utf-8")
    settings = TARGET_SETTINGS | MODULE_NAMES[family] | OWN
    settings |= {"mom2_dataset": str(tmp_path / "corpus.txt"), "mom2_n_samples": 5, "mom2_dtype": "float32"}
    (tmp_path / "tiny.json").write_text(json.dumps(settings))
    monkeypatch.setenv("ZEROUNLEARN_STATS", str(tmp_path / "stats"))
    return [
        "--model_name=tiny",
        f"--model_path_dir={tmp_path}",
        f"--hparams_fname={tmp_path / 'tiny.json'}",
        "--quiet",
    ]


def files(text: str) -> list[Path]:
    return [Path(line.split(": ")[0]) for line in text.splitlines()]


def test_all_edited_layers_and_where_the_files_lie(asked, tmp_path, capsys):
    collect_stats.main(asked)
    printed = capsys.readouterr().out
    assert sorted(files(printed)) == sorted((tmp_path / "stats").iterdir()) and len(files(printed)) == 2
    assert all(re.search(r"; [1-9]\d+ tokens of 5 documents$", line) for line in printed.splitlines())


def test_shares_merge_into_the_files_of_an_undivided_run(asked, tmp_path, capsys, monkeypatch):
    collect_stats.main(asked)
    whole = {path.name: load_file(path)["moment"] for path in files(capsys.readouterr().out)}
    monkeypatch.setenv("ZEROUNLEARN_STATS", str(tmp_path / "divided"))
    for shard in ("0", "1"):
        collect_stats.main([*asked, "--shards=2", f"--shard={shard}"])
    shares = files(capsys.readouterr().out)
    assert len(shares) == 4 and all(path.exists() for path in shares)
    collect_stats.main([*asked, "--shards=2", "--merge"])
    merged = files(capsys.readouterr().out)
    assert {path.name for path in merged} == whole.keys() == {p.name for p in (tmp_path / "divided").iterdir()}
    for path in merged:
        torch.testing.assert_close(load_file(path)["moment"], whole[path.name], atol=1e-5, rtol=1e-4)


def loading(monkeypatch) -> list:
    """Notes every loading of a model."""
    real, loaded = modeling.load, []
    monkeypatch.setattr(modeling, "load", lambda *args: loaded.append(args) or real(*args))
    return loaded


def test_a_merge_loads_no_model(asked, tmp_path, capsys, monkeypatch):
    for shard in ("0", "1"):
        collect_stats.main([*asked, "--shards=2", f"--shard={shard}"])
    loaded = loading(monkeypatch)
    capsys.readouterr()
    collect_stats.main([*asked, "--shards=2", "--merge"])
    assert loaded == []
    assert sorted(files(capsys.readouterr().out)) == sorted((tmp_path / "stats").iterdir())


@pytest.mark.parametrize("change", ["weights", "dtype"])
def test_a_merge_loads_a_model_that_is_not_the_measured_one(asked, tmp_path, monkeypatch, family, change):
    for shard in ("0", "1"):
        collect_stats.main([*asked, "--shards=2", f"--shard={shard}"])
    if change == "weights":
        TINY[family](seed=1)[0].save_pretrained(tmp_path / "tiny")
    loaded = loading(monkeypatch)
    with pytest.raises(UserError, match="number 0, 1 is not measured"):
        collect_stats.main([*asked, "--shards=2", "--merge", *(["--dtype=bfloat16"] if change == "dtype" else [])])
    assert len(loaded) == 1


def test_bad_input_is_told_before_the_model_is_loaded(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(modeling, "load", lambda *_: pytest.fail("the model was loaded first"))
    (tmp_path / "corpus.txt").unlink()
    with pytest.raises(UserError, match="corpus.txt"):
        collect_stats.main(asked)
    with pytest.raises(UserError, match="Absent"):
        collect_stats.main([*asked, "--model_name=Absent"])


def test_merging_before_all_shares_are_there(asked):
    collect_stats.main([*asked, "--shards=3", "--shard=1"])
    with pytest.raises(UserError, match="number 0, 2 is not measured"):
        collect_stats.main([*asked, "--shards=3", "--merge"])


def test_other_layers(asked, capsys):
    collect_stats.main([*asked, "--layers", "3", "0", "3"])
    assert [re.search(r"\.(\d)\.", path.name)[1] for path in files(capsys.readouterr().out.replace("_", "."))] == [
        "0",
        "3",
    ]


def test_the_default_is_the_embedded_model(asked, monkeypatch, tmp_path, capsys):
    """The defaults run; a tiny model and corpus stand in for the embedded ones."""
    loaded = modeling.load("tiny", tmp_path, "cpu")
    monkeypatch.setattr(modeling, "load", lambda name, *_: loaded if name == modeling.WORLD else None)
    monkeypatch.setattr(collecting, "hparams_path", lambda *_: tmp_path / "tiny.json")
    collect_stats.main([])
    assert len(files(capsys.readouterr().out)) == 2


def test_an_early_stop_has_files_of_its_own(asked, tmp_path, capsys):
    collect_stats.main([*asked, "--tolerance=0.5"])
    early = files(capsys.readouterr().out)
    collect_stats.main(asked)
    assert not set(early) & set(files(capsys.readouterr().out)) and len(list((tmp_path / "stats").iterdir())) == 4


def test_what_was_achieved_is_said(asked, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("util.editing.statistics.DOCUMENTS_PER_BLOCK", 1)
    (tmp_path / "corpus.txt").write_text("\n\n".join(TEXT[:1] * 5), encoding="utf-8")
    collect_stats.main([*asked, "--tolerance=0.5"])
    collect_stats.main([*asked, "--tolerance=0.5"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == lines[2:]
    assert all(re.search(r"of 2 documents; the last doubling .* moved the update by [\d.e-]+$", line) for line in lines)


def test_a_tolerance_that_was_not_reached_is_said(asked, capsys, monkeypatch):
    monkeypatch.setattr("util.editing.statistics.DOCUMENTS_PER_BLOCK", 1)
    collect_stats.main([*asked, "--tolerance=1e-9"])
    lines = capsys.readouterr().out.splitlines()
    assert all(
        "of 5 documents" in line and line.endswith("the corpus ended before 1e-09 was reached") for line in lines
    )


@pytest.mark.parametrize(("collected", "run"), [([], []), (["--tolerance=0.5"], ["--mom2_tolerance=0.5"])])
def test_a_run_finds_what_was_collected(asked, tmp_path, monkeypatch, collected, run):
    collect_stats.main([*asked, *collected])
    settings = RunSettings.parse([*asked, *run, f"--results_dir={tmp_path / 'results'}"], "evaluate.py", None)
    hparams = read_hparams(settings, "ZeroUnlearn")
    session = open_session(settings, [], [hparams])
    monkeypatch.setattr(CorpusMoments, "_measure", None)
    found = session.moments(hparams)
    assert len(found.value) == 2 and found.origin == "a file"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--alg_name=FT"], "reads no statistics"),
        (["--alg_name=nobody"], "unknown method"),
        (["--shard=0"], "--shards N goes with"),
        (["--merge"], "--shards N goes with"),
        (["--shards=2"], "--shards N goes with"),
        (["--shards=2", "--shard=0", "--merge"], "--shards N goes with"),
        (["--shards=2", "--shard=2"], "give 0 to 1"),
        (["--shards=0", "--merge"], "--shards 0"),
        (["--tolerance=0.1", "--shards=2", "--shard=0"], "cannot be divided"),
        (["--tolerance=0"], "no share above 0"),
        (["--tolerance=some"], "no share above 0"),
        (["--tolerance=nan"], "no share above 0"),
        (["--layers", "7"], "layer 7"),
        (["--layers", "-1"], "counted from 0"),
    ],
)
def test_what_cannot_be_done_is_said(asked, flags, words, monkeypatch):
    monkeypatch.setattr(CorpusMoments, "_measure", None)
    with pytest.raises(UserError, match=words):
        collect_stats.main([*asked, *flags])


def exported(folder: Path, moments: dict[str, torch.Tensor]) -> list[str]:
    """The moments in the field's files."""
    paths = [folder / f"{name}_float32_mom2_100000.npz" for name in moments]
    for path, moment in zip(paths, moments.values(), strict=True):
        np.savez(path, **{"mom2.count": np.array(10), "mom2.mom2": (10 * moment).numpy()})
    return [str(path) for path in paths]


def test_the_fields_files_take_the_measurements_place(asked, tmp_path, family, capsys, monkeypatch):
    collect_stats.main(asked)
    measured = {line.split(": ")[1].split(",")[0]: load_file(line.split(": ")[0])["moment"] for line in lines(capsys)}
    theirs = exported(tmp_path, measured)
    monkeypatch.setenv("ZEROUNLEARN_STATS", str(tmp_path / "imported"))
    collect_stats.main([*asked, "--import", *theirs])
    printed = lines(capsys)
    assert all(
        re.search(r"; 10 tokens; imported from .*_mom2_100000.npz, 1 times what is measured", line) for line in printed
    )
    for line in printed:
        name = line.split(": ")[1].split(",")[0]
        torch.testing.assert_close(load_file(line.split(": ")[0])["moment"], measured[name], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--shards=2", "--shard=0"], "--import measures nothing; leave out --shards and --tolerance"),
        (["--tolerance=0.1"], "--import measures nothing"),
        (["--layers=1"], "no file's name begins with"),
    ],
)
def test_what_an_import_does_not_go_with(asked, flags, complaint):
    with pytest.raises(UserError, match=complaint):
        collect_stats.main([*asked, *flags, "--import", "x.npz", "y.npz"])


def lines(capsys) -> list[str]:
    return capsys.readouterr().out.splitlines()
