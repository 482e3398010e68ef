"""Published files, fetched once: streamed with a progress bar, resumed where they broke off, moved when complete.

By hand, because no library at hand does that: pooch starts anew after an interruption, and huggingface_hub's fetching
goes on without asking whether the file is still the same (If-Range), so that two halves of different files may meet.
"""

import contextlib
import hashlib
import http.client
import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from dsets.named_files import growing
from util.errors import UserError

HOST_VARIABLE = "ZEROUNLEARN_DATA_HOST"
ATTEMPTS = 4
TIMEOUT_S = 20.0
BACKOFF_S = 0.5
CHUNK_BYTES = 1 << 16

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """A published file: its name, the folder it lies in, and what is known of it.

    count: number of records; another number is worth a warning.
    """

    file_name: str
    base: str
    count: int | None = None

    @property
    def url(self) -> str:
        """The address; the environment's ZEROUNLEARN_DATA_HOST, a mirror folder, goes before the published one."""
        mirror = os.environ.get(HOST_VARIABLE)
        if mirror and not mirror.startswith(("http://", "https://")):
            raise UserError(f"{HOST_VARIABLE} is {mirror!r}; it must start with http:// or https://, or be unset")
        return f"{(mirror or self.base).rstrip('/')}/{self.file_name}"


class _BrokenOff(Exception):
    """The file did not come; another attempt may mend it."""


class _Refused(_BrokenOff):
    """The server answered, and asking again would not change the answer."""


def fetch(upstream: Upstream, folder: Path, check: Callable[[bytes], int]) -> Path:
    """Path of the file in `folder`, fetched first if it is not there.

    `check` looks at the complete content before it gets its final name, returns the number of records and raises
    UserError if it is something else (an error page). What was received before an interruption stays in a `.part`
    file and is continued by the next call. Raises UserError naming file, address and where to put it.
    """
    path = folder / upstream.file_name
    if path.is_file():
        return path
    try:
        with growing(path.with_name(path.name + ".part")) as part:
            if not path.is_file():  # another process may have fetched it while this one waited for the lock
                _fetch_locked(upstream, path, part, check)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error}); make room or name another folder with --data_dir"
        ) from error
    return path


def _fetch_locked(upstream: Upstream, path: Path, part: BinaryIO, check: Callable[[bytes], int]) -> None:
    state = path.with_name(path.name + ".part.json")
    try:
        _receive(upstream.url, part, state)
    except _BrokenOff as error:
        if part.tell() == 0:
            state.unlink(missing_ok=True)
        raise UserError(_by_hand(upstream, path, f"could not be fetched from {upstream.url} ({error})")) from error
    try:
        _verify(upstream, path, part, check)
    except UserError:
        Path(part.name).unlink()
        raise
    finally:
        state.unlink(missing_ok=True)
    os.replace(part.name, path)


def _by_hand(upstream: Upstream, path: Path, what: str) -> str:
    return (
        f"{path.name} is missing and {what}; fetch it on a machine with a network and put it at {path}, "
        f"or set {HOST_VARIABLE} to a mirror's folder"
    )


def _verify(upstream: Upstream, path: Path, part: BinaryIO, check: Callable[[bytes], int]) -> None:
    part.seek(0)
    content = part.read()
    try:
        count = check(content)
    except UserError as error:
        raise UserError(_by_hand(upstream, path, f"{upstream.url} gives something else ({error})")) from error
    if upstream.count not in (None, count):
        log.warning("%s has %d records, the published file %d", upstream.url, count, upstream.count)
    digest = hashlib.sha256(content).hexdigest()
    log.info("fetched %s: %d bytes, %d records, sha256 %s", upstream.url, len(content), count, digest)


def _receive(url: str, part: BinaryIO, state: Path) -> None:
    """Append the address' content to `part` until it is complete, in at most ATTEMPTS requests.

    Raises _BrokenOff with the last reason.
    """
    for attempt in range(ATTEMPTS):
        try:
            _one_request(url, part, state)
            return
        except _BrokenOff as error:
            if attempt == ATTEMPTS - 1 or isinstance(error, _Refused):
                raise
            log.warning("%s: %s; trying again", url, error)
            time.sleep(BACKOFF_S * 2**attempt)


def _one_request(url: str, part: BinaryIO, state: Path) -> None:
    start = part.seek(0, os.SEEK_END)
    validator = _validator(state, url) if start else None
    if not validator:
        start = 0
    # If-Range: a file that changed meanwhile is sent whole (200) instead of a piece that does not fit (206).
    rest = {"Range": f"bytes={start}-", "If-Range": validator} if validator else {}
    with _opened(url, {"User-Agent": "zerounlearn"} | rest, state) as response:
        if response.status != 206:
            start = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            state.unlink(missing_ok=True)
            raise _BrokenOff("the server sent another piece than the one asked for")
        part.seek(part.truncate(start))
        _remember(state, url, response.headers)
        _append(response, part, start)


@contextlib.contextmanager
def _opened(url: str, headers: dict[str, str], state: Path) -> Iterator[http.client.HTTPResponse]:
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # no rest to send: what is here is as long as the server's file, so ask for the whole
            state.unlink(missing_ok=True)
        kind = _BrokenOff if error.code in (408, 416, 429) or error.code >= 500 else _Refused
        raise kind(f"the server answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenOff(getattr(error, "reason", None) or error) from error
    except ValueError as error:  # letters or brackets that no address has
        raise _Refused(f"no valid address: {error}") from error
    with response:
        yield response


def _validator(state: Path, url: str) -> str | None:
    """What the server said about the content that the `.part` file began with, if it came from this address."""
    try:
        known = json.loads(state.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return known.get("validator") if known.get("url") == url else None


def _remember(state: Path, url: str, headers: http.client.HTTPMessage) -> None:
    tag = headers.get("ETag", "")
    # A weak tag does not promise the same bytes, and If-Range must not use it.
    validator = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")
    state.write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")


def _append(response: http.client.HTTPResponse, part: BinaryIO, start: int) -> None:
    total = None if response.length is None else start + response.length
    name = Path(part.name).name.removesuffix(".part")
    with tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=name, disable=None) as bar:
        for chunk in _chunks(response):
            part.write(chunk)
            bar.update(len(chunk))
    part.flush()
    received = part.tell()
    if total is not None and received != total:
        raise _BrokenOff(f"broken off after {received} of {total} bytes")


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read1(CHUNK_BYTES)  # what has come, so that a time-out loses none of it
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenOff(f"broken off: {error}") from error
        if not chunk:
            return
        yield chunk
