"""Files that appear whole, and files that several processes may want to make."""

import contextlib
import errno
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from util.errors import UserError

LOOK_EVERY_SECONDS = 0.05
"""At a lock that another process holds."""

log = logging.getLogger("zerounlearn")


@contextlib.contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """A name beside `path`, in a folder that exists, for the block to write a file or a folder to.

    What was written gets its final name when the block has ended without an exception, in place of a file of that name,
    and is removed otherwise: under `path` there is the whole or nothing. Raises UserError where a folder with something
    in it has got that name meanwhile.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or error.filename2 != str(path):
            raise
        raise UserError(
            f"{path} was made by somebody else meanwhile and is left as it is; give another name"
        ) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """The block has `path`, a file or folder that need not exist, for its process and thread alone.

    Who has to wait is told in the log. The lock is a file beside `path`, which goes with the last block; the system
    releases it when a process dies.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"), poll_interval=LOOK_EVERY_SECONDS)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.warning("another process is making %s; waiting for it", path)
        lock.acquire()
    try:
        yield
    finally:
        # Still held: whoever waits for this very file finds it without a name, and makes a new one.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
