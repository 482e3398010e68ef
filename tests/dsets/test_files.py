"""A file that several want to write is one's alone, whatever its last holder did with it."""

import threading

import pytest

from dsets.files import locked


@pytest.mark.parametrize("afterwards", ["removed", "moved", "left", "empty"])
def test_one_at_a_time_and_nobody_fails(tmp_path, afterwards):
    path = tmp_path / "data.part"
    inside, failures = [], []

    def work():
        try:
            for _ in range(100):
                with locked(path) as file:
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
        assert path.read_bytes() == b"x" * 400
    if afterwards == "empty":
        assert not path.exists()
