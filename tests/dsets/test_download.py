"""Fetching, against a local server that is slow, breaks off, refuses, changes its mind or serves something else."""

import hashlib
import http.server
import json
import threading
import time

import pytest

from dsets import download, load
from dsets.download import HOST_VARIABLE, Upstream
from tests.dsets import made_rows as rows
from util.errors import UserError

CONTENT = json.dumps([rows.counterfact(i) for i in range(400)]).encode()
NAME = "multi_counterfact.json"


class Server(http.server.ThreadingHTTPServer):
    """Serves `content`; `script` holds one behaviour per request, the last of them for good."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.tag, self.modified = CONTENT, '"v1"', None
        self.script, self.ranges = ["whole"], []

    def handle_error(self, request, client_address):
        """A client that went away is what some tests are about."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/files"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        behaviour = server.script[min(len(server.ranges), len(server.script) - 1)]
        server.ranges.append(self.headers.get("Range"))
        if isinstance(behaviour, int):
            self.send_error(behaviour)
            return
        start = self._start() if behaviour != "no ranges" else 0
        if start >= len(server.content):
            self.send_error(416)
            return
        self._head(start if behaviour != "wrong piece" else start + 1)
        body = server.content[start:]
        if behaviour == "half":
            body = body[: len(body) // 2]
        self._body(body, slow=behaviour == "slow", stall=behaviour == "stall")

    def _start(self) -> int:
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        fits = condition in (self.server.tag, self.server.modified)
        return int(asked.removeprefix("bytes=").rstrip("-")) if asked and fits else 0

    def _head(self, start: int) -> None:
        total = len(self.server.content)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(total - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if self.server.tag:
            self.send_header("ETag", self.server.tag)
        if self.server.modified:
            self.send_header("Last-Modified", self.server.modified)
        self.end_headers()

    def _body(self, body: bytes, slow: bool, stall: bool) -> None:
        pieces = [body[i : i + 30_000] for i in range(0, len(body), 30_000)] if slow or stall else [body]
        for piece in pieces:
            self.wfile.write(piece)
            self.wfile.flush()
            time.sleep(0.02 if slow else 0.5 if stall else 0)


@pytest.fixture
def server(monkeypatch):
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv(HOST_VARIABLE, server.address)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "BACKOFF_S", 0.001)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def whole(folder) -> bool:
    return names(folder) == [NAME] and (folder / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize("behaviour", ["whole", "slow"])
def test_fetched_once(server, tmp_path, behaviour):
    server.script = [behaviour]
    folder = tmp_path / "new" / "data"
    dataset = load("mcf", folder)
    assert whole(folder) and len(dataset.records) == 400
    assert (dataset.size, dataset.digest) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert load("mcf", folder) == dataset
    assert server.ranges == [None]


@pytest.mark.parametrize(("tag", "modified"), [('"v1"', None), (None, "Mon, 01 Jan 2024 00:00:00 GMT")])
def test_resumed_within_the_call(server, tmp_path, tag, modified):
    server.tag, server.modified, server.script = tag, modified, ["half", "half", "whole"]
    load("mcf", tmp_path)
    half = len(CONTENT) // 2
    assert server.ranges == [None, f"bytes={half}-", f"bytes={half + (len(CONTENT) - half) // 2}-"]
    assert whole(tmp_path)


@pytest.mark.parametrize("tag", [None, 'W/"v1"'])
def test_without_a_strong_validator_it_starts_anew(server, tmp_path, tag):
    server.tag, server.script = tag, ["half", "whole"]
    load("mcf", tmp_path)
    assert server.ranges == [None, None] and whole(tmp_path)


def test_requests_are_bounded_and_the_next_call_goes_on(server, tmp_path, caplog):
    server.script = ["half", 503]
    with pytest.raises(UserError, match=r"multi_counterfact.json is missing and could not be fetched from .* 503"):
        load("mcf", tmp_path)
    assert len(server.ranges) == download.ATTEMPTS
    assert caplog.text.count("trying again") == download.ATTEMPTS - 1
    assert names(tmp_path) == [NAME + ".part", NAME + ".part.json"]
    server.script = ["whole"]
    load("mcf", tmp_path)
    assert server.ranges[-1] == f"bytes={len(CONTENT) // 2}-" and whole(tmp_path)


def test_changed_file_is_fetched_whole(server, tmp_path):
    server.script = ["half", 404]
    with pytest.raises(UserError, match="404"):
        load("mcf", tmp_path)
    server.content, server.tag, server.script = CONTENT.replace(b"French", b"Danish"), '"v2"', ["whole"]
    assert load("mcf", tmp_path).records[0].target_true == "Danish"
    assert names(tmp_path) == [NAME] and (tmp_path / NAME).read_bytes() == server.content


@pytest.mark.parametrize("second", ["no ranges", "wrong piece"])
def test_server_that_misunderstands_ranges(server, tmp_path, second):
    server.script = ["half", second, "whole"]
    load("mcf", tmp_path)
    assert whole(tmp_path)


def test_part_that_was_complete(server, tmp_path):
    (tmp_path / (NAME + ".part")).write_bytes(CONTENT)
    state = {"url": f"{server.address}/{NAME}", "validator": server.tag}
    (tmp_path / (NAME + ".part.json")).write_text(json.dumps(state))
    load("mcf", tmp_path)
    assert whole(tmp_path) and server.ranges == [f"bytes={len(CONTENT)}-", None]


@pytest.mark.parametrize("state", ['{"url": "http://elsewhere/x", "validator": "\\"v1\\""}', "{", None])
def test_part_of_unknown_origin_is_not_continued(server, tmp_path, state):
    (tmp_path / (NAME + ".part")).write_bytes(b"something else")
    if state:
        (tmp_path / (NAME + ".part.json")).write_text(state)
    load("mcf", tmp_path)
    assert whole(tmp_path) and server.ranges == [None]


def test_stalled_server_times_out(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_S", 0.1)
    server.script = ["stall", "whole"]
    load("mcf", tmp_path)
    assert whole(tmp_path) and server.ranges[1] is not None


def test_missing_at_the_host_is_not_asked_again(server, tmp_path):
    server.script = [404]
    with pytest.raises(UserError) as error:
        load("mcf", tmp_path)
    message = str(error.value)
    assert all(part in message for part in ("404", f"{server.address}/{NAME}", str(tmp_path / NAME), HOST_VARIABLE))
    assert len(server.ranges) == 1 and names(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"<!DOCTYPE html><title>Moved</title>", "not complete JSON"),
        (CONTENT[:-10], "not complete JSON"),
        (json.dumps([rows.zsre()]).encode(), "expected are case_id, requested_rewrite"),
        (b"[]", "empty data set"),
    ],
)
def test_wrong_content_does_not_stay(server, tmp_path, content, complaint):
    server.content = content
    with pytest.raises(UserError, match="gives something else") as error:
        load("mcf", tmp_path)
    assert complaint in str(error.value) and names(tmp_path) == []


def test_another_number_of_records_is_told(server, tmp_path, caplog):
    load("mcf", tmp_path)
    assert "has 400 records, the published file 20877" in caplog.text


def test_two_at_once_fetch_once(server, tmp_path):
    server.script = ["slow"]
    loaded = []
    threads = [threading.Thread(target=lambda: loaded.append(load("mcf", tmp_path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == 3 and len(server.ranges) == 1 and whole(tmp_path)


def test_offline(server, tmp_path, monkeypatch):
    monkeypatch.setenv(HOST_VARIABLE, "http://127.0.0.1:9")
    with pytest.raises(UserError, match="could not be fetched .* put it at"):
        load("mcf", tmp_path)
    assert names(tmp_path) == []


def test_mirror_that_is_no_address(tmp_path, monkeypatch):
    monkeypatch.setenv(HOST_VARIABLE, "mirror.local/files")
    with pytest.raises(UserError, match="ZEROUNLEARN_DATA_HOST is 'mirror.local/files'"):
        load("mcf", tmp_path)


@pytest.mark.parametrize("mirror", ["http://127.0.0.1:9/dätä", "http://[::1/", f"http://{'a' * 70}.x"])
def test_mirror_that_is_no_valid_address(tmp_path, monkeypatch, mirror):
    monkeypatch.setenv(HOST_VARIABLE, mirror)
    with pytest.raises(UserError, match="could not be fetched from .*no valid address.* put it at"):
        load("mcf", tmp_path)
    assert names(tmp_path) == []


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written .*--data_dir"):
        load("mcf", tmp_path / "file" / "data")


def test_published_address(monkeypatch):
    monkeypatch.delenv(HOST_VARIABLE, raising=False)
    assert Upstream(file_name="a.json", base="https://host/data/").url == "https://host/data/a.json"
