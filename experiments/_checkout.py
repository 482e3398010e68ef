"""Lets a script of this folder run from a plain checkout, which is not installed: ``python experiments/evaluate.py``.

Python puts a script's own folder first on the path; here the repository stands in its place, as it does for
``python -m experiments.evaluate``. So a checkout runs its own code, also where another one is installed.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)
