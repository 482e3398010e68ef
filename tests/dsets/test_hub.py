"""Documents drawn from the hub: fetched once into a file, whatever breaks off in between; a hub that is not there."""

import json
import multiprocessing

import datasets
import pytest

from dsets import hub
from dsets.corpus import load_corpus
from util.errors import UserError

TEXTS = [f"document {i}\nsecond line, Łódź" for i in range(9)]


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """A data folder for what is fetched."""
    monkeypatch.setenv("ZEROUNLEARN_DATA", str(tmp_path))
    return tmp_path


class Served:
    """A stand-in for `datasets.load_dataset`: a stream of texts that breaks off after some; notes what it is asked."""

    def __init__(self, texts=TEXTS, breaks_after=None, failure=None):
        self.texts, self.breaks_after, self.asked = texts, breaks_after, []
        self.failure = failure or ConnectionError("no route")

    def __call__(self, name, config, split, streaming):
        self.asked.append((name, config, split, streaming))
        return self

    def shuffle(self, seed, buffer_size):
        return self

    def __iter__(self):
        for i, text in enumerate(self.texts):
            if i == self.breaks_after:
                raise self.failure
            yield {"text": text}


@pytest.fixture
def serve(monkeypatch):
    def start(*args, **options):
        served = Served(*args, **options)
        monkeypatch.setattr(datasets, "load_dataset", served)
        return served

    return start


def test_documents_are_fetched_when_first_looked_at_and_once(serve, data):
    served = serve(["", *TEXTS])
    corpus = load_corpus("owner/name:config.en", 4, seed=1)
    assert served.asked == [] and len(corpus.digest) == 64
    assert list(corpus.documents) == TEXTS[:4] == corpus.documents[:] and len(corpus.documents) == 4
    assert (
        corpus.documents[2] == TEXTS[2] and corpus.documents[-1] == TEXTS[3] and corpus.documents[1::2] == TEXTS[1:4:2]
    )
    again = load_corpus("owner/name:config.en", 4, seed=1)
    assert again.digest == corpus.digest and list(again.documents) == list(corpus.documents)
    assert served.asked == [("owner/name", "config.en", "train", True)]


def test_the_draw_is_the_shuffled_streams_beginning(monkeypatch, data):
    def load_dataset(*_, **__):
        return datasets.IterableDataset.from_generator(lambda: ({"text": text} for text in TEXTS))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    shuffled = load_dataset().shuffle(seed=1, buffer_size=hub.SHUFFLE_BUFFER)
    assert list(load_corpus("owner/name", 4, seed=1).documents) == [row["text"] for row in shuffled][:4]


def test_the_file_is_named_by_the_draw_and_is_a_corpus_itself(serve, data):
    serve()
    for name, count, seed in [("o/n", 3, 0), ("o/n", 4, 0), ("o/n", 3, 1), ("o/n:c", 3, 0), ("o-n", 3, 0)]:
        assert len(load_corpus(name, count, seed=seed).documents) == count
    written = list((data / "corpora").iterdir())
    assert len(written) == 5 and all(path.suffix == ".jsonl" for path in written)
    (path,) = (data / "corpora").glob("o--n-c-train-3-seed0-*.jsonl")
    assert load_corpus(str(path), 3).documents == TEXTS[:3]


def test_other_data_folders_have_files_of_their_own(serve, tmp_path):
    served = serve()
    for folder in ("a", "b", "a"):
        assert len(load_corpus("o/n", 3, data_dir=tmp_path / folder).documents) == 3
    assert len(served.asked) == 2


def test_hub_digest_covers_name_config_number_and_seed():
    calls = [("o/n", 3, 0), ("o/m", 3, 0), ("o/n:c", 3, 0), ("o/n", 4, 0), ("o/n", 3, 1)]
    assert len({load_corpus(name, n, seed=seed).digest for name, n, seed in calls}) == 5


def test_fewer_documents_are_said_each_time(serve, caplog):
    serve()
    for _ in range(2):
        caplog.clear()
        assert len(load_corpus("owner/name", 50).documents) == 9
        assert "has 9 documents, 50 were asked for" in caplog.text


# --- interruptions


@pytest.mark.parametrize("failure", [ConnectionError("no route"), KeyboardInterrupt()])
def test_what_came_before_an_interruption_is_kept(serve, data, failure):
    serve(breaks_after=5, failure=failure)
    with pytest.raises((UserError, KeyboardInterrupt)) as error:
        len(load_corpus("owner/name", 8).documents)
    (part,) = (data / "corpora").iterdir()
    assert [json.loads(line)["text"] for line in part.open()] == TEXTS[:5] and part.suffix == ".partial"
    assert isinstance(error.value, KeyboardInterrupt) or f"kept in {part}" in str(error.value)
    serve()
    assert list(load_corpus("owner/name", 8).documents) == TEXTS[:8]
    assert [path.suffix for path in (data / "corpora").iterdir()] == [".jsonl"]


def kept_before(data, content: bytes):
    """As an earlier fetch of 8 documents of owner/name left it."""
    corpus = load_corpus("owner/name", 8)
    path = corpus.documents.path.with_name(corpus.documents.path.name + ".partial")
    path.parent.mkdir()
    path.write_bytes(content)
    return corpus, path


def lines(texts) -> bytes:
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)


@pytest.mark.parametrize(
    "content",
    [
        lines(TEXTS[:3]),
        lines(TEXTS[:3])[:-9],
        lines(TEXTS[:3]) + b"\n",
        lines([*TEXTS[:3], "of another revision", *TEXTS[4:]]),
        lines(TEXTS),
        b"\xff not of this kind",
        b"",
    ],
    ids=["whole", "torn", "blank", "changed", "too much", "damaged", "empty"],
)
def test_only_what_agrees_with_the_stream_is_kept(serve, data, content):
    corpus, part = kept_before(data, content)
    serve()
    assert list(corpus.documents) == TEXTS[:8]
    assert corpus.documents.path.read_bytes() == lines(TEXTS[:8]) and not part.exists()


def test_what_agrees_is_not_written_again(serve, data):
    corpus, part = kept_before(data, lines(TEXTS[:6]))
    serve(breaks_after=2)
    with pytest.raises(UserError, match="kept"):
        len(corpus.documents)
    assert part.read_bytes() == lines(TEXTS[:6])


# --- several processes


def _look(folder, name, queue):
    served = Served(TEXTS * 40)
    datasets.load_dataset = served
    documents = load_corpus(name, 300, data_dir=folder).documents
    queue.put((list(documents[1::2]), len(served.asked)))


def test_processes_fetch_once_together(data):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    started = [context.Process(target=_look, args=(data, "owner/name", queue)) for _ in range(3)]
    for process in started:
        process.start()
    found = [queue.get(timeout=60) for _ in started]
    for process in started:
        process.join()
    assert all(documents == (TEXTS * 40)[:300][1::2] for documents, _ in found)
    assert sum(asked for _, asked in found) == 1
    assert [path.suffix for path in (data / "corpora").iterdir()] == [".jsonl"]


# --- what cannot be had


def test_hub_without_text(serve, data):
    serve([])
    with pytest.raises(UserError, match="'owner/name' holds no text"):
        list(load_corpus("owner/name", 2).documents)
    serve([None])
    with pytest.raises(UserError, match="owner/name has no string under 'text'"):
        list(load_corpus("owner/name", 2).documents)
    assert list((data / "corpora").iterdir()) == []


@pytest.mark.parametrize(
    "failure",
    [
        ConnectionError("no route"),
        ValueError("Config name is missing. Please pick one"),
        RuntimeError("Dataset scripts are no longer supported, but found name.py"),
        datasets.exceptions.DatasetNotFoundError("doesn't exist"),
    ],
)
def test_hub_failures_say_what_to_do(monkeypatch, failure):
    def load_dataset(*args, **kwargs):
        raise failure

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(UserError, match="'owner/name:c' cannot be streamed .*mom2_dataset") as error:
        list(load_corpus("owner/name:c", 2).documents)
    assert str(failure) in str(error.value) and "kept" not in str(error.value)


def test_a_folder_that_cannot_be_written_is_named(serve, data):
    serve()
    (data / "corpora").write_text("no folder")
    with pytest.raises(UserError, match="cannot be written to .*--data_dir") as error:
        len(load_corpus("owner/name", 2).documents)
    assert str(data / "corpora") in str(error.value)


def test_hub_really_offline():
    with pytest.raises(UserError, match="cannot be streamed from the hub"):
        list(load_corpus("owner/name:config", 2).documents)
