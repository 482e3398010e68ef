"""What determines the embedded model; apart from the code that trains, which loads torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PretrainSettings:
    """Everything that determines the weights.

    batch_tokens: padded tokens per step. constant: share of the steps at full learning rates, before they fall
    linearly to zero. border: first layer that may read a subject from behind it. masked: share of the sequences
    trained under the subject mask. world_scale: share of the world's people and things (see make_world).
    """

    seed: int = 0
    steps: int = 2000
    batch_tokens: int = 4096
    hidden: int = 512
    layers: int = 4
    intermediate: int = 640
    heads: int = 8
    kv_heads: int = 2
    vocab: int = 1536
    matrix_lr: float = 0.02
    other_lr: float = 2e-3
    weight_decay: float = 0.05
    constant: float = 0.5
    border: int = 2
    masked: float = 0.85
    world_scale: float = 1.0
