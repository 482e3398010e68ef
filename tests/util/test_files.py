"""Files that appear whole; one at a time makes what several want."""

import multiprocessing
import threading
import time

import pytest

from util.errors import UserError
from util.files import atomically, locked


def test_a_file_has_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "folder" / "file.json"
    with atomically(path) as temporary:
        temporary.write_text("half, ")
        assert not path.exists() and temporary.parent == path.parent
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    with atomically(path) as temporary:
        temporary.write_text("another")
        assert path.read_text() == "whole"
    assert path.read_text() == "another" and list(path.parent.iterdir()) == [path]


def test_a_folder_too(tmp_path):
    with atomically(tmp_path / "model") as temporary:
        temporary.mkdir()
        (temporary / "weights").touch()
        assert not (tmp_path / "model").exists()
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["model", "model/weights"]


def test_two_that_make_the_same_file_at_once_do_not_meet(tmp_path):
    """Whatever their process is called: in containers many have the same number."""
    path = tmp_path / "file"
    with atomically(path) as one, atomically(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_what_breaks_off_leaves_what_was_there(tmp_path, error, kind):
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(error), atomically(path) as temporary:
        if kind == "file":
            temporary.write_text("half")
        if kind == "folder":
            temporary.mkdir()
            (temporary / "half").touch()
        raise error
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_somebody_else_has_made_meanwhile_stays_as_it_is(tmp_path):
    path = tmp_path / "model"
    with pytest.raises(UserError, match="model was made by somebody else meanwhile"), atomically(path) as temporary:
        temporary.mkdir()
        (temporary / "weights").write_text("ours")
        path.mkdir()
        (path / "weights").write_text("theirs")
    assert [file.name for file in tmp_path.iterdir()] == ["model"]
    assert (path / "weights").read_text() == "theirs"


def test_threads_do_not_write_into_one_another(tmp_path):
    both = threading.Barrier(2)

    def write(text: str) -> None:
        with atomically(tmp_path / "file") as temporary:
            both.wait()
            temporary.write_text(text)
            both.wait()
            assert temporary.read_text() == text

    threads = [threading.Thread(target=write, args=(text,)) for text in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_text() in ("one", "two") and len(list(tmp_path.iterdir())) == 1


def test_threads_come_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("util.files.LOOK_EVERY_SECONDS", 0.001)
    inside, most = [], []

    def work() -> None:
        for _ in range(50):
            with locked(tmp_path / "made"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 200 and list(tmp_path.iterdir()) == []


def _hold(path, held, let_go):
    with locked(path):
        held.set()
        let_go.wait(timeout=60)


def test_a_process_waits_for_another_and_says_so(tmp_path, caplog):
    context = multiprocessing.get_context("fork")
    held, let_go = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "made", held, let_go))
    other.start()
    assert held.wait(timeout=60)
    threading.Timer(0.2, let_go.set).start()
    start = time.monotonic()
    with locked(tmp_path / "made"):
        assert time.monotonic() - start > 0.15
    other.join()
    assert caplog.text.count(f"another process is making {tmp_path / 'made'}; waiting for it") == 1


def test_a_process_that_dies_holds_nothing(tmp_path, caplog):
    context = multiprocessing.get_context("fork")
    held = context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "made", held, context.Event()))
    other.start()
    assert held.wait(timeout=60)
    other.kill()
    other.join()
    with locked(tmp_path / "made"):
        pass
    assert caplog.text == "" and list(tmp_path.iterdir()) == []
