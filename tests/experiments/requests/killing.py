"""A process that runs unlearn.py in children of its own and kills each with SIGKILL where it is told to.

    python -m tests.experiments.requests.killing ORDERS

ORDERS, JSON: [[point, argv], …], point "module:function", "module:function/2" (at its second call) or "" (let be).
Prints how each ended, as a list of exit statuses, -9 for a killed one. The modules are loaded once for all children.
"""

import importlib
import json
import os
import signal
import sys

from experiments import unlearn
from experiments.requests.unlearning import outputs, unlearning_job  # noqa: F401  loaded before the children are made


def die_at(point: str) -> None:
    """From now on this process kills itself at that call."""
    path, _, call = point.partition("/")
    module, _, names = path.partition(":")
    *owners, name = names.split(".")
    owner = importlib.import_module(module)
    for one in owners:
        owner = getattr(owner, one)
    whole, left = getattr(owner, name), [int(call or 1)]

    def counted(*given, **named):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(*given, **named)

    setattr(owner, name, counted)


def ending(point: str, argv: list[str]) -> int:
    """How a child ends that runs this command line."""
    child = os.fork()
    if not child:
        if point:
            die_at(point)
        os._exit(unlearn.main(argv))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    print(json.dumps([ending(*order) for order in json.loads(sys.argv[1])]))
