"""A file that several want to append to is one's alone, whatever its last holder did with it."""

import threading

import pytest

from dsets.named_files import growing


@pytest.mark.parametrize("afterwards", ["removed", "moved", "left", "empty"])
def test_one_at_a_time_and_nobody_fails(tmp_path, afterwards, monkeypatch):
    monkeypatch.setattr("util.files.LOOK_EVERY_SECONDS", 0.001)
    path = tmp_path / "data.part"
    inside, failures = [], []

    def work():
        try:
            for _ in range(25):
                with growing(path) as file:
                    inside.append(1)
                    assert len(inside) == 1
                    file.write(b"" if afterwards == "empty" else b"x")
                    inside.pop()
                    if afterwards == "removed":
                        path.unlink()
                    elif afterwards == "moved":
                        path.rename(tmp_path / "data")
        except BaseException as error:  # a thread's exceptions are seen by nobody else
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    if afterwards == "left":
        assert path.read_bytes() == b"x" * 100
    if afterwards == "empty":
        assert not path.exists()


def test_what_was_begun_goes_on(tmp_path):
    for content in (b"one", b"two"):
        with growing(tmp_path / "new" / "part") as file:
            file.write(content)
    assert (tmp_path / "new" / "part").read_bytes() == b"onetwo"


def test_a_failure_leaves_what_came_and_no_empty_file(tmp_path):
    for content, left in ((b"", []), (b"some", ["part"])):
        with pytest.raises(ZeroDivisionError), growing(tmp_path / "part") as file:
            file.write(content)
            raise ZeroDivisionError
        assert [path.name for path in tmp_path.iterdir()] == left
