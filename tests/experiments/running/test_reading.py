"""What a run reads: what stands for a corpus that cannot be had, and how that is told."""

import pytest

from dsets import hub
from dsets.corpus import load_corpus
from experiments import collect_stats, evaluate, suggest_hparams
from experiments.running import reading
from experiments.running.script_settings import SuggestSettings
from experiments.running.settings import EvaluateSettings
from tests.experiments.small import read
from util import paths

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


@pytest.mark.parametrize(
    "name", ["tiny-1.5B", "/x/tiny-1.5B", "owner/tiny-1.5B", "tiny-1.5B.gguf", "/x/y/tiny-1.5B.gguf"]
)
def test_a_model_has_one_hparams_file_however_it_is_named(name, tmp_path, monkeypatch):
    """A GGUF file's suffix is not part of it, neither where the file is read nor where it is written."""
    monkeypatch.setenv("ZEROUNLEARN_HPARAMS", str(tmp_path))
    (tmp_path / "MEMIT").mkdir()
    expected = tmp_path / "MEMIT" / "tiny-1.5B.json"
    assert reading.hparams_path("MEMIT", name, None) == expected
    asked = SuggestSettings.parse([f"--model_name={name}", "--alg_name=MEMIT"], "suggest_hparams.py", "")
    assert suggest_hparams._target(asked) == expected
    assert paths.hparams_name(name) == expected.name


def test_a_gguf_file_of_a_known_model_has_that_models_hparams(tmp_path):
    settings = EvaluateSettings.parse(
        [f"--model_name={tmp_path / 'SmolLM2-135M-Instruct.gguf'}", "--alg_name=MEMIT"], "evaluate.py", ""
    )
    assert reading.read_hparams(settings, "MEMIT").layers
