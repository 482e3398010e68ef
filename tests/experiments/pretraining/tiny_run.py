"""The settings of a training run that takes a second."""

import torch

from experiments.pretraining.pretrain_settings import PretrainSettings

TINY = PretrainSettings(
    steps=6, batch_tokens=512, hidden=32, layers=3, intermediate=48, heads=4, vocab=500, border=2, world_scale=0.05
)
FLAGS = [f"--{name}={getattr(TINY, name)}" for name in TINY.__dataclass_fields__]
CPU = torch.device("cpu")
