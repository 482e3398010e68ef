"""Second moments as ROME, MEMIT, AlphaEdit and EasyEdit keep them → the files in which runs look them up.

Theirs lie in ``<stats_dir>/<model>/wikipedia_stats/<module>_float32_mom2_100000.npz``. ``mom2.mom2`` is the plain sum
Σ k kᵀ over the tokens of so many Wikipedia articles, ``mom2.count`` the number of tokens (SecondMoment in their
util/runningstats.py, whose ``moment()`` divides the two), ``sample_size`` that of articles. Such a file says nothing of
the weights that it was measured on, so each is held against a moment that is measured here, on a few documents.

Shape letters: I in (intermediate size).
"""

import hashlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from util.editing.statistics import Corpus, CorpusMoments
from util.errors import UserError
from util.weights import read_weight

TRIAL_DOCUMENTS = 32
"""Documents of the corpus that the moment is measured on for comparison."""
LARGEST_SCALE = 10.0
LEAST_PATTERN = 0.3
"""Limits of Likeness, from two models. SmolLM2-135M-Instruct, 10 paragraphs of WikiText-2 against 16 others, 7 layers:
scale 0.96 to 1.05, pattern 0.64 to 0.94 (while trace is 0.9 to 1.1 and distance up to 0.7). The embedded model, its own
documents: 1.0 to 1.3 and 0.74 to 0.89; WikiText-2, which it never saw: up to 6.1 and down to 0.30. Another layer of
either: pattern within 0.08 of 0, as of unrelated numbers, with a trace that may be as near 1 as the right one's. A mean
in the place of the sum has a scale of 1 / count."""
SYMMETRY = 1e-3
"""Of the largest entry: how far Σ k kᵀ in float32 may be from its transpose."""


@dataclass(frozen=True)
class Published:
    """A file's moment E[k kᵀ] (I, I), the tokens and, where it says so, the documents that it is the mean over."""

    moment_II: torch.Tensor
    count: int
    documents: int | None


@dataclass(frozen=True)
class Likeness:
    """How a moment A compares with B of the same module's inputs on other text.

    scale: median over the inputs i of A_ii / B_ii. pattern: correlation of log A_ii and log B_ii over i. Both are about
    the many inputs; the few very large ones of a text's first token, whose share depends on the documents' length, rule
    trace: tr A / tr B, and distance: ‖A − B‖ / ‖B‖ (Frobenius), which are therefore told but decide nothing.
    """

    scale: float
    pattern: float
    trace: float
    distance: float

    @property
    def close(self) -> bool:
        """Whether the two may be of one module of one model."""
        return 1 / LARGEST_SCALE <= self.scale <= LARGEST_SCALE and self.pattern >= LEAST_PATTERN


@dataclass(frozen=True)
class Opening:
    """The first documents of a corpus; itself a corpus."""

    corpus: Corpus
    count: int

    @property
    def name(self) -> str:
        """For messages."""
        return self.corpus.name

    @property
    def digest(self) -> str:
        """Nothing is kept under it: it only has to be another than the corpus's."""
        return hashlib.sha256(f"{self.corpus.digest} first {self.count}".encode()).hexdigest()

    @property
    def documents(self) -> Sequence[str]:
        """Read when they are looked at."""
        return list(islice(iter(self.corpus.documents), self.count))


def import_moments(moments: CorpusMoments, files: Mapping[str, Path]) -> dict[str, Likeness]:
    """Take each file's moment for that of its module over the whole corpus of `moments`, in whose cache it is put.

    The header of what is written names the file, its sha256 and the likeness. Raises UserError for a module that has a
    moment already, a file of another form or size, and one that is unlike what the model gives on the corpus's first
    documents; files before it are imported then.
    """
    for name in files:
        if moments.cache.header(name) is not None:
            raise UserError(f"{moments.cache.path(name)} has the moment of {name} already; remove it to import another")
    trial = CorpusMoments(
        moments.model,
        moments.tokenizer,
        list(files),
        Opening(moments.corpus, TRIAL_DOCUMENTS),
        dtype="float64",
        batch_tokens=moments.batch_tokens,
        progress=moments.progress,
    )
    return {name: _import(moments, name, path, trial[name]) for name, path in files.items()}


def _import(moments: CorpusMoments, name: str, path: Path, trial_II: torch.Tensor) -> Likeness:
    found = read_published(path, read_weight(moments.model, name).shape[1])
    likeness = compare(found.moment_II, trial_II.cpu())
    if not likeness.close:
        raise UserError(
            f"{path} is not of {name} of this model: its diagonal is {likeness.scale:.3g} times that of "
            f"{TRIAL_DOCUMENTS} documents measured here (allowed: 1/{LARGEST_SCALE:g} to {LARGEST_SCALE:g}), with a "
            f"correlation of {likeness.pattern:.2f} (at least {LEAST_PATTERN:g}); name the file of that layer and model"
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    facts = asdict(likeness) | ({} if found.documents is None else {"documents": found.documents})
    moment_II = found.moment_II.to(moments.cache.dtype)
    with moments.cache.alone():
        moments.cache.write(name, moment_II, found.count, imported=path.name, sha256=digest, **facts)
    return likeness


def compare(theirs_II: torch.Tensor, ours_II: torch.Tensor) -> Likeness:
    """The likeness of two moments of one size, computed in float64."""
    theirs_II, ours_II = theirs_II.double(), ours_II.double()
    diagonals = torch.stack([theirs_II.diagonal(), ours_II.diagonal()])
    floor = torch.finfo(torch.float32).eps * diagonals.mean(1, keepdim=True) + torch.finfo(torch.float64).tiny
    logs = diagonals.clamp_min(floor).log()  # an input that was never active has no logarithm
    return Likeness(
        scale=float((logs[0] - logs[1]).median().exp()),
        pattern=float(torch.corrcoef(logs)[0, 1]),
        trace=float(diagonals[0].sum() / diagonals[1].sum()),
        distance=float((theirs_II - ours_II).norm() / ours_II.norm()),
    )


def read_published(path: Path, size: int) -> Published:
    """The moment of a file, for a module of so many inputs. Nothing in the file is run: no pickled object is read.

    Raises UserError for what is no such file, and for a sum of another size, not finite, not symmetric or of no tokens.
    """
    arrays = _arrays(path)
    sum_II, count = arrays["mom2"], int(arrays["count"])
    if sum_II.shape != (size, size):
        raise UserError(f"{path} holds {sum_II.shape}, the module has {size} inputs; name a file of this model")
    if count < 1 or not np.isfinite(sum_II).all():
        raise UserError(f"{path} holds a sum over {count} tokens that is not finite or empty; fetch it again")
    moment_II = torch.from_numpy(sum_II) / count
    if (moment_II - moment_II.T).abs().max() > SYMMETRY * moment_II.abs().max() or (moment_II.diagonal() < 0).any():
        raise UserError(f"{path} holds no sum of k kᵀ: it is not symmetric, or has a negative diagonal")
    documents = arrays.get("sample_size")
    return Published(moment_II, count, None if documents is None else int(documents))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """``mom2``, ``count`` and perhaps ``sample_size`` of a file."""
    try:
        if not zipfile.is_zipfile(path):
            raise UserError(f"{path} is no .npz file; name one such as <module>_float32_mom2_100000.npz")
        with np.load(path, allow_pickle=False) as file:
            names = {name.removeprefix("mom2."): name for name in file.files}
            if not {"mom2", "count"} <= names.keys():
                raise UserError(f"{path} holds {sorted(file.files)}; it must hold mom2.mom2 and mom2.count")
            found = {key: file[names[key]] for key in ("mom2", "count", "sample_size") if key in names}
    except UserError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({error}); fetch it again") from error
    for name, kind, dimensions in (("mom2", np.floating, 2), ("count", np.integer, 0)):
        if not np.issubdtype(found[name].dtype, kind) or found[name].ndim != dimensions:
            raise UserError(f"{path}: {name} is {found[name].dtype} of shape {found[name].shape}; fetch it again")
    return found


def by_module(files: Sequence[Path], names: Sequence[str]) -> dict[str, Path]:
    """Module → the file whose name begins with it; a single file of whatever name belongs to a single module.

    Raises UserError for a module without a file, and for a file without a module.
    """
    found = {name: path for name in names for path in files if path.name.startswith(f"{name}_")}
    if len(files) == len(names) == 1:
        found = {names[0]: files[0]}
    lacking = [name for name in names if name not in found]
    spare = [str(path) for path in files if path not in found.values()]
    if lacking:
        raise UserError(f"no file's name begins with {lacking[0]}_; name its file, or in --layers those that have one")
    if spare:
        raise UserError(f"{spare[0]} is of none of {', '.join(names)}; name its layer in --layers, or leave it out")
    return found
