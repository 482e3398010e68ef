"""What a run reads: what stands for a corpus that cannot be had, and how that is told."""

import pytest

from dsets import hub
from dsets.corpus import load_corpus
from experiments import collect_stats, evaluate
from experiments.running import reading
from tests.experiments.small import read

WIKIPEDIA = "wikimedia/wikipedia:20231101.en"


@pytest.fixture
def asked(monkeypatch, work) -> list[str]:
    """The hub's sets that were asked for, in vain; the workplace's corpus stands for Wikipedia."""
    sets: list[str] = []

    def refusal(repository: str) -> str:
        sets.append(repository)
        return "ConnectError: no network"

    monkeypatch.setattr(hub, "refusal", refusal)
    monkeypatch.setattr(reading, "STANDS_FOR", {WIKIPEDIA: str(work.folder / "corpus.txt")})
    return sets


def test_what_stands_for_a_corpus_is_told_and_decides_the_run(work, asked, caplog):
    evaluate.main(work.arguments(hparams_fname=work.hparams("hub.json", mom2_dataset=WIKIPEDIA)))
    evaluate.main(work.arguments())
    of_the_hub, of_the_file = (read(folder, "run.json") for folder in work.runs())
    corpus = str(work.folder / "corpus.txt")
    assert of_the_hub["corpus"] == {"name": corpus, "instead_of": WIKIPEDIA}
    assert of_the_file["corpus"] == {"name": corpus, "instead_of": None}
    assert of_the_hub["hashes"]["corpus"] == of_the_file["hashes"]["corpus"]
    (told,) = [one.getMessage() for one in caplog.records if WIKIPEDIA in one.getMessage()]
    assert "no network" in told and corpus in told and asked == ["wikimedia/wikipedia"]


def test_collected_statistics_are_those_of_the_runs(work, asked):
    own = work.hparams("hub.json", mom2_dataset=WIKIPEDIA)
    flags = ["--model_path_dir", str(work.folder / "models"), "--model_name", "Tiny", "--hparams_fname", own]
    collect_stats.main([*flags, "--data_dir", str(work.folder / "data"), "--device", "cpu"])
    evaluate.main(work.arguments(hparams_fname=own))
    (folder,) = work.runs()
    assert read(folder, "run.json")["shared"]["statistics"]["origin"] == "a file"


def test_what_is_here_or_measured_needs_no_hub(tmp_path, asked, monkeypatch):
    corpus = load_corpus(WIKIPEDIA, 3, data_dir=tmp_path)
    assert reading.at_hand(corpus, str(tmp_path), lambda: True) is corpus and asked == []
    assert reading.at_hand(corpus, str(tmp_path)).instead_of == WIKIPEDIA
    corpus.documents.path.parent.mkdir(parents=True)
    corpus.documents.path.write_text('{"text": "fetched"}\n', encoding="utf-8")
    assert reading.at_hand(corpus, str(tmp_path)) is corpus
    assert asked == ["wikimedia/wikipedia"]


def test_a_corpus_that_nothing_stands_for_complains(tmp_path, asked, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    other = load_corpus("owner/other", 3, data_dir=tmp_path)
    assert reading.at_hand(other, str(tmp_path)) is other and asked == []


def test_a_hub_that_answers_is_waited_for(tmp_path, asked, monkeypatch):
    monkeypatch.setattr(hub, "refusal", lambda repository: None)
    corpus = load_corpus(WIKIPEDIA, 3, data_dir=tmp_path)
    assert reading.at_hand(corpus, str(tmp_path)) is corpus


def test_a_refusal_is_one_line(monkeypatch):
    def fails(*_, **__):
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr("huggingface_hub.dataset_info", fails)
    assert hub.refusal("owner/name") == "ConnectionError: no network"
    monkeypatch.setattr("huggingface_hub.dataset_info", lambda *_, **__: None)
    assert hub.refusal("owner/name") is None
