"""Folders of data, statistics, hparams, results and models: a flag, else an environment variable, else the default.

Resolved when called; nothing is created or remembered.
"""

import os
from pathlib import Path

from util.choices import WORLD

Flag = str | os.PathLike | None
GGUF = ".gguf"
"""The suffix of a file that holds a whole model."""


def root() -> Path:
    """The repository; of an installed package the folder that holds its parts, hparams and the embedded model too."""
    return Path(__file__).resolve().parent.parent


def workplace() -> Path:
    """Where data and results go by default: the repository, or the working directory of an installed package's user."""
    return root() if (root() / "pyproject.toml").is_file() else Path.cwd()


def expanded(path: str | os.PathLike) -> Path:
    """The path with a home folder for its ``~``. Before no user's name it stays: Path's own raises RuntimeError."""
    return Path(os.path.expanduser(path))


def _choose(flag: Flag, variable: str, default: Path) -> Path:
    chosen = flag or os.environ.get(variable)
    return expanded(chosen) if chosen else default


def data_dir(flag: Flag = None) -> Path:
    """Data sets (``--data_dir``, ZEROUNLEARN_DATA, <workplace>/data)."""
    return _choose(flag, "ZEROUNLEARN_DATA", workplace() / "data")


def stats_dir(flag: Flag = None) -> Path:
    """Second moments (ZEROUNLEARN_STATS, <workplace>/data/stats)."""
    return _choose(flag, "ZEROUNLEARN_STATS", workplace() / "data" / "stats")


def hparams_dir(flag: Flag = None) -> Path:
    """hparams/<METHOD>/<model>.json (ZEROUNLEARN_HPARAMS, <root>/hparams)."""
    return _choose(flag, "ZEROUNLEARN_HPARAMS", root() / "hparams")


def hparams_name(model_name: str) -> str:
    """The name of a model's file in hparams/<METHOD>/: that of its folder, hub id or GGUF file, and .json."""
    return f"{Path(model_name).name.removesuffix(GGUF)}.json"


def results_dir(flag: Flag = None) -> Path:
    """Run folders (``--results_dir``, ZEROUNLEARN_RESULTS, <workplace>/results)."""
    return _choose(flag, "ZEROUNLEARN_RESULTS", workplace() / "results")


def model_dir(name: str, flag: Flag = None) -> Path | None:
    """The local folder (or .gguf file) of a model, or None when it is to come from the hub.

    ``world`` is the embedded model. Otherwise a folder of that name under ``--model_path_dir`` (or
    ZEROUNLEARN_MODELS), else `name` itself when it is a folder, else, where no parent was named, a folder of that name
    in models/, where get_model.py puts them.
    """
    if name == WORLD:
        return root() / "dsets" / "world" / "model"
    parent = flag or os.environ.get("ZEROUNLEARN_MODELS")
    candidates = [expanded(parent) / name] if parent else []
    candidates += [expanded(name)] + ([] if parent else [models_dir() / name])
    return next((place for place in candidates if place.is_dir() or gguf_files(place)), None)


def gguf_files(place: Path) -> list[Path]:
    """The GGUF file that a model's place is, or those that its folder holds beside no safetensors; else none."""
    if place.is_dir():
        return [] if any(place.glob("*.safetensors")) else sorted(place.glob(f"*{GGUF}"))
    return [place] if place.suffix == GGUF and place.is_file() else []


def models_dir() -> Path:
    """Where fetched models are put and looked for: <workplace>/models."""
    return workplace() / "models"
