"""sweep.py from the command line to the files, on a tiny random model."""

import pytest

from baselines.registry import METHODS
from experiments import evaluate, sweep
from experiments.running.sweeping import grid as running
from experiments.running.sweeping import variants
from tests.experiments.small import hparams_of, read, without_times
from util.errors import UserError


def grid(work, *argv):
    flags = work.arguments(alg_name=None, ds_name=None, hparams_fname=None)
    data = ["--datasets", str(work.folder / "facts.jsonl")]
    sweep.main([*flags, *data, "--hparams_fname", "hparams.json", "--seeds", "0", "1", "--quiet", *argv])


@pytest.fixture
def two_methods(work, monkeypatch, tmp_path):
    """hparams/<METHOD>/hparams.json for two methods."""
    for method in ("ZeroUnlearn", "MEMIT"):
        folder = tmp_path / "hparams" / method
        folder.mkdir(parents=True)
        with open(hparams_of(work, method), encoding="utf-8") as file:
            (folder / "hparams.json").write_text(file.read(), encoding="utf-8")
    monkeypatch.setenv("ZEROUNLEARN_HPARAMS", str(tmp_path / "hparams"))


def test_a_sweep_equals_single_runs_and_goes_on_where_it_was(work, two_methods, monkeypatch, capsys):
    monkeypatch.chdir(work.results.parent)
    grid(work, "--methods", "ZeroUnlearn", "MEMIT")
    table = capsys.readouterr().out
    metrics, texts = table.split("Silent")
    for rows in (metrics, texts):
        named = [line.split("|")[1].strip() for line in rows.splitlines() if " ± " in line]
        assert named == ["Base", "ZeroUnlearn", "MEMIT"]
    swept = {(folder.parent.name, folder.name): without_times(folder) for folder in work.runs()}
    assert len(swept) == 4
    costs = [read(folder, "run.json")["shared"]["statistics"] for folder in work.runs()]
    assert [cost["seconds"] for cost in costs] == [costs[0]["seconds"]] * 4 and costs[0]["seconds"] > 0
    origins = [cost["origin"] for cost in costs]
    assert sorted(origins)[:3] == ["an earlier run of this process"] * 3 and "a file" not in origins[:3]
    with monkeypatch.context() as patch:
        patch.setattr(running, "run", lambda *_: pytest.fail("a finished run was done again"))
        grid(work, "--methods", "ZeroUnlearn", "MEMIT")
    assert capsys.readouterr().out == table

    results = work.results
    work.results = results.parent / "single"
    evaluate.main(work.arguments(alg_name="MEMIT", seed=1, hparams_fname="hparams.json"))
    (single,) = work.runs()
    assert without_times(single) == swept["MEMIT", single.name]


def test_all_methods_may_stand_in_a_list():
    assert running.method_names(["all"]) == [name for name in METHODS if name != "BASE"]
    assert running.method_names(["FT,all", "BASE"]) == ["FT", *(n for n in METHODS if n not in ("FT", "BASE")), "BASE"]
    with pytest.raises(UserError, match="unknown method .Foo.;"):
        running.method_names(["all,Foo"])


def test_a_sweep_does_only_what_is_missing(work, two_methods, monkeypatch):
    monkeypatch.chdir(work.results.parent)
    grid(work, "--methods", "ZeroUnlearn")
    done = []
    monkeypatch.setattr(running, "run", lambda *a, real=running.run: done.append(a[1].alg_name) or real(*a))
    grid(work, "--methods", "MEMIT", "ZeroUnlearn")
    assert done == ["MEMIT", "MEMIT"]
    grid(work, "--methods", "ZeroUnlearn", "--ppl", "none")
    assert done[2:] == ["ZeroUnlearn", "ZeroUnlearn"]


def test_sizes_beyond_the_forget_pool_are_run_once(work, two_methods, monkeypatch, capsys):
    monkeypatch.chdir(work.results.parent)
    monkeypatch.setattr(variants, "SIZES", (3, 12, 50, 100))
    grid(work, "--preset", "sizes")
    counts = [read(folder, "summary.json")["unlearn_num"] for folder in work.runs()]
    assert sorted(counts) == [3, 3, 12, 12]
    titles = [line for line in capsys.readouterr().out.splitlines() if "facts, 2 seeds" in line]
    assert [title.rsplit(": ")[1].partition(",")[0] for title in titles] == ["3 facts", "12 facts"]


def test_a_sweep_reads_the_corpus_of_the_method_that_has_one(work, monkeypatch, capsys):
    path = hparams_of(work, "FT")
    folder = work.folder / "mixed"
    for method, text in (("FT", path), ("MEMIT", hparams_of(work, "MEMIT"))):
        (folder / method).mkdir(parents=True, exist_ok=True)
        with open(text, encoding="utf-8") as file:
            (folder / method / "hparams.json").write_text(file.read(), encoding="utf-8")
    monkeypatch.setenv("ZEROUNLEARN_HPARAMS", str(folder))
    monkeypatch.chdir(work.results.parent)
    grid(work, "--methods", "FT", "MEMIT")
    assert all(read(run, "summary.json")["unlearned"]["ppl"] for run in work.runs() if run.parent.name != ".base")


def test_methods_of_one_search_share_their_targets(work, monkeypatch, tmp_path):
    """The second method searches nothing, and its seconds count the search as if it had; the scores are the same."""
    from util.editing import setting

    monkeypatch.setenv("ZEROUNLEARN_STATS", str(tmp_path / "stats"))
    searches, real = [], setting.find_targets
    monkeypatch.setattr(setting, "find_targets", lambda *a, **k: searches.append(1) or real(*a, **k))
    for name in ("MEMIT", "AlphaEdit", "MEMIT"):
        evaluate.main(work.arguments(alg_name=name, hparams_fname=hparams_of(work, name), ppl="none"))
    assert len(searches) == 1
    first, again = sorted((work.results / "MEMIT").iterdir())
    assert without_times(first) == without_times(again)
    assert read(first, "run.json")["shared"]["targets"] is None
    shared = read(again, "run.json")["shared"]["targets"]
    assert 0 < shared["seconds"] <= read(again, "summary.json")["seconds"]["targets"]
