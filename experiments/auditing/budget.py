"""Seconds that an attack may take and is likely to take."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from experiments.auditing.context import Audited
from util.modeling import decoder_layers


@contextmanager
def watched(audited: Audited) -> Iterator[None]:
    """Within the block every pass through one of the models first looks at the clock (`Audited.check_time`).

    It stands at the first decoder layer, which nothing that reads a text goes around, so that an attack that is over
    its time ends before its next batch, wherever that is made.
    """
    with ExitStack() as stack:
        for model in filter(None, (audited.before, audited.after, audited.oracle)):
            first = decoder_layers(model)[0]
            stack.callback(first.register_forward_pre_hook(lambda *_: audited.check_time()).remove)
        yield


@dataclass
class Pace:
    """How long attacks take here: seconds of those that are done, and their cost by the registry (`Attack.cost`)."""

    seconds: float = 0.0
    cost: float = 0.0

    def add(self, cost: float, seconds: float) -> None:
        """An attack is done."""
        self.cost += cost
        self.seconds += seconds

    def needs(self, cost: float) -> float | None:
        """Seconds that an attack of this cost is likely to take; None before any was done."""
        return cost * self.seconds / self.cost if self.cost else None
