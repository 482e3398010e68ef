"""Second moment E[k kᵀ] of a stream of vectors: uncentred, a plain sum, so that parts merge exactly.

Shape letters: T vectors of one update, I their size.
"""

import torch


class SecondMoment:
    """Σ k kᵀ in float64 and the number of vectors.

    Each update multiplies in float32 (the caller keeps TF32 off) and adds up in float64.
    """

    def __init__(self, size: int, device: torch.device | str = "cpu"):
        self.sum_II = torch.zeros(size, size, dtype=torch.float64, device=device)
        self.count = 0

    def update(self, keys_TI: torch.Tensor) -> None:
        """Add vectors; rows are vectors, any float dtype."""
        if keys_TI.ndim != 2 or keys_TI.shape[1] != len(self.sum_II):
            raise ValueError(f"vectors of shape {tuple(keys_TI.shape)}, expected (count, {len(self.sum_II)})")
        keys = keys_TI.to(torch.promote_types(keys_TI.dtype, torch.float32))
        self.sum_II += keys.T @ keys
        self.count += len(keys)

    def merge(self, other: "SecondMoment") -> None:
        """Add what another accumulator has seen."""
        self.sum_II += other.sum_II.to(self.sum_II.device)
        self.count += other.count

    def value(self) -> torch.Tensor:
        """E[k kᵀ] (I, I) float64. Raises ValueError before the first vector."""
        if self.count == 0:
            raise ValueError("the second moment of no vectors is not defined; update it first")
        return self.sum_II / self.count
