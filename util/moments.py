"""Second moment E[k kᵀ] of a stream of vectors: uncentred, a plain sum, so that parts merge exactly.

Shape letters: T vectors of one update, I their size.
"""

import torch

CHUNK = 8192
"""Vectors that are converted to float32 at a time."""


def outer(keys_TI: torch.Tensor, wanted_T: torch.Tensor | None = None) -> torch.Tensor:
    """Σ k kᵀ (I, I) of the wanted vectors (default: all) in float32, or in their own dtype if that is wider.

    The caller keeps TF32 off. Beside the result only CHUNK vectors are copied at a time.
    """
    size = keys_TI.shape[1]
    total_II = keys_TI.new_zeros(size, size, dtype=torch.promote_types(keys_TI.dtype, torch.float32))
    for start in range(0, len(keys_TI), CHUNK):
        chunk = keys_TI[start : start + CHUNK]
        chunk = chunk if wanted_T is None else chunk[wanted_T[start : start + CHUNK]]
        chunk = chunk.to(total_II.dtype)
        total_II.addmm_(chunk.T, chunk)
    return total_II


class SecondMoment:
    """Σ k kᵀ in float64 and the number of vectors.

    Each update multiplies in float32 (see `outer`) and adds up in float64.
    """

    def __init__(self, size: int, device: torch.device | str = "cpu"):
        self.sum_II = torch.zeros(size, size, dtype=torch.float64, device=device)
        self.count = 0

    def update(self, keys_TI: torch.Tensor) -> None:
        """Add vectors; rows are vectors, any float dtype."""
        if keys_TI.ndim != 2 or keys_TI.shape[1] != len(self.sum_II):
            raise ValueError(f"vectors of shape {tuple(keys_TI.shape)}, expected (count, {len(self.sum_II)})")
        self.add(outer(keys_TI), len(keys_TI))

    def add(self, outer_II: torch.Tensor, count: int) -> None:
        """Add Σ k kᵀ of `count` vectors."""
        self.sum_II += outer_II.to(self.sum_II.device)
        self.count += count

    def merge(self, other: "SecondMoment") -> None:
        """Add what another accumulator has seen."""
        self.add(other.sum_II, other.count)

    def value(self) -> torch.Tensor:
        """E[k kᵀ] (I, I) float64. Raises ValueError before the first vector."""
        if self.count == 0:
            raise ValueError("the second moment of no vectors is not defined; update it first")
        return self.sum_II / self.count
