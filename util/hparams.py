"""Strict JSON → frozen, typed hyperparameters. Unknown, missing or mistyped keys stop the run, naming file and key."""

import os
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator
from pydantic_core import ErrorDetails

from util.errors import NotJson, UserError, parsed

Target = Literal["neutral", "ignorance", "one_step"]
"""How a fact's new activation is found, see `TargetHParams`."""

KeyContext = Literal["long_prefix", "few_shot", "subject_alone"]
"""Where keys are read beside the context templates, see `util.editing.key_contexts`."""

NonNegativeInt = Annotated[int, Field(ge=0)]
NonNegative = Annotated[float, Field(ge=0)]


class HParams(BaseModel):
    """Base of every method's hyperparameters: keyword-only, frozen, complete."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="constants"
    )

    needs_moments: ClassVar[bool] = False
    """Whether the method reads second moments of a corpus."""

    @classmethod
    def from_json(cls, path: str | os.PathLike) -> Self:
        """Read and validate a file. Raises UserError naming the file and every offending key."""
        try:
            values = parsed(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UserError(f"hparams file {path} does not exist; {available(Path(path))}") from error
        except (NotJson, UnicodeDecodeError, IsADirectoryError) as error:
            raise UserError(f"hparams file {path} is no JSON file: {error}") from error
        if not isinstance(values, dict):
            raise UserError(f"hparams file {path} holds a {type(values).__name__}; it must be one JSON object")
        try:
            return cls(**values)
        except ValidationError as error:
            raise UserError(f"hparams file {path}: {_complaints(error, cls)}") from error


def available(path: Path) -> str:
    """What lies beside a file that is not there, for the line that says so."""
    names = sorted(entry.name for entry in path.parent.glob("*.json"))
    return (
        f"{path.parent} has {', '.join(names) or 'none'}; name one of these, or write one for a new model with "
        "experiments/suggest_hparams.py"
    )


def _complaints(error: ValidationError, cls: type[HParams]) -> str:
    def one(problem: ErrorDetails) -> str:
        key = ".".join(str(part) for part in problem["loc"])
        if not key:
            return problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            return f"unknown key {key!r} (known: {', '.join(sorted(cls.model_fields))})"
        if problem["type"] == "missing":
            return f"missing key {key!r}"
        return f"key {key!r} is {problem['input']!r}: {problem['msg']}"

    return "; ".join(one(problem) for problem in error.errors())


class LayerHParams(HParams):
    """Which layers are edited, and which module of each.

    layers: edited decoder layers, ascending; the last is the target layer. `*_module_tmp`: dotted names with ``{}`` for
    the layer's number.
    """

    layers: list[NonNegativeInt] = Field(min_length=1)
    rewrite_module_tmp: str

    @model_validator(mode="after")
    def _check_layers(self) -> Self:
        if self.layers != sorted(set(self.layers)):
            raise ValueError(f"layers {self.layers} must be ascending and without repeats")
        for key in (name for name in type(self).model_fields if name.endswith("_module_tmp")):
            if getattr(self, key).count("{}") != 1:
                raise ValueError(f"{key} {getattr(self, key)!r} needs one '{{}}' for the layer's number")
        return self

    def rewrite_module(self, layer: int) -> str:
        """Name of the module whose weight is edited in that layer."""
        return self.rewrite_module_tmp.format(layer)

    def rewrite_modules(self) -> list[str]:
        """Names of all edited modules, bottom up."""
        return [self.rewrite_module(layer) for layer in self.layers]


class TargetHParams(LayerHParams):
    """Settings of the target optimisation, shared by every locate-then-edit method.

    fact_token: the position whose key stands for the fact. layer_module_tmp, ln_f_module, lm_head_module: how the model
    names its decoder layers, its final norm and its head.

    target: ``neutral``, the published search for the neutral answer. ``one_step``: in place of the search one gradient
    and three evaluations along it. ``ignorance``: no gradient, but the mean state m of `invented_subjects` subjects
    that do not exist in the fact's prompt form; the target is a + target_scale · (m − a), so that 1 is m itself, and
    more than 1 goes on past it, away from what the fact's own state has beyond m.

    key_contexts: further contexts that keys are averaged over, each weighing as much as a group of templates.
    """

    fact_token: Literal["subject_last"]
    layer_module_tmp: str
    ln_f_module: str
    lm_head_module: str
    v_num_grad_steps: PositiveInt
    v_lr: PositiveFloat
    v_loss_layer: NonNegativeInt
    v_weight_decay: NonNegative
    clamp_norm_factor: PositiveFloat
    kl_factor: NonNegative
    target: Target = "neutral"
    invented_subjects: PositiveInt = 20
    target_scale: PositiveFloat = 1.0
    key_contexts: list[KeyContext] = []

    @property
    def sensitive_target(self) -> Target:
        """How the values that carry the true answers are found: by a search where the targets are, else in one step.

        Ignorance of a subject says nothing of what carries its answer.
        """
        return "neutral" if self.target == "neutral" else "one_step"


class TuningHParams(LayerHParams):
    """Settings of the gradient baselines; the weights of `layers` learn and nothing else.

    lr: Adam's. num_steps: epochs over the requests, in mini-batches of batch_size. norm_constraint: largest change of
    any single weight (published FT-L), or null for none.
    """

    lr: PositiveFloat
    num_steps: PositiveInt
    batch_size: PositiveInt
    norm_constraint: PositiveFloat | None


class MomentHParams(TargetHParams):
    """The corpus whose second moment the method reads.

    mom2_dataset: a `datasets` name (configuration after a colon), a local text/JSON/parquet file, or ``world``.
    mom2_n_samples: documents of it. mom2_dtype: in which the moment is kept on disk and handed to the solve.
    """

    needs_moments: ClassVar[bool] = True

    mom2_dataset: str
    mom2_n_samples: PositiveInt
    mom2_dtype: Literal["float32", "float64"]


class InvertedMomentHParams(MomentHParams):
    """mom2_ridge: what is added to the second moment C before it is inverted, as a share of its mean diagonal entry:
    C + mom2_ridge · (tr C / d_in) · I. 0, which a file may leave out, is the published form; it takes a C that is
    positive definite, and so no input of the module that is always zero.
    """

    mom2_ridge: NonNegative = 0.0
