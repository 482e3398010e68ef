"""How far long work is: a bar on a terminal, a plain line a minute elsewhere."""

import io
import logging
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from util.runs import shows_bars, stages

SECONDS = 60.0
"""Between two plain lines; work that takes less has none."""


class _Lines(tqdm):
    """A bar whose every state but the last, which the end of the work tells, is a line of the log."""

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        if msg is None and self.n != self.total:
            stages.info("%s", str(self))
        return True


def progress_bar(iterable: Iterable | None = None, *, desc: str, progress: bool | None = None, **options: Any) -> tqdm:
    """tqdm's bar, drawn where `progress` says so (None: where there is a terminal).

    Where it is not, how much is done and the time left are a line of the log every SECONDS, unless stages are not told
    (--quiet, or code that is no script).
    """
    progress = shows_bars(quiet=False) if progress is None else progress
    if progress or not stages.isEnabledFor(logging.INFO):
        return tqdm(iterable, desc=desc, disable=not progress, **options)
    known = options.get("total") is not None or hasattr(iterable, "__len__")
    shown = "{desc}: {n_fmt} of {total_fmt}, {remaining} left" if known else "{desc}: {n_fmt}"
    plain = {"mininterval": SECONDS, "delay": SECONDS, "miniters": 1, "bar_format": shown, "leave": False}
    return _Lines(iterable, desc=desc, file=io.StringIO(), **options | plain)  # the file takes the ends of lines
