"""What several runs of one process share is made once, and every run says what it cost, whoever made it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

K = TypeVar("K")
V = TypeVar("V")
Origin = Literal["this run", "an earlier run of this process", "a file"]


@dataclass(frozen=True)
class Made(Generic[V]):
    """A value, the seconds that making it took, and who made it."""

    value: V
    seconds: float
    origin: Origin

    def record(self) -> dict[str, object]:
        """For run.json."""
        return {"seconds": self.seconds, "origin": self.origin}


class Once(Generic[K, V]):
    """Values by key, each made when it is asked for first."""

    def __init__(self) -> None:
        self.made: dict[K, Made[V]] = {}

    def get(self, key: K, make: Callable[[], V], origin: Origin = "this run") -> Made[V]:
        """The value of the key. origin: of a value that is made now, where that only reads what lies in a file."""
        if key in self.made:
            return self.made[key]
        start = time.perf_counter()
        value = make()
        made = Made(value, time.perf_counter() - start, origin)
        self.made[key] = replace(made, origin="an earlier run of this process")
        return made

    def values(self) -> list[V]:
        """Everything that was made."""
        return [made.value for made in self.made.values()]
