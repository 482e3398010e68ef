"""Choosing hparams on facts that no table uses: the same number of trials for every method, one axis after another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from util.errors import UserError
from util.hparams import HParams, LayerHParams

TRIALS = 8
"""Trials of every method: the start, two other choices of layers, and five along the method's own axes."""

SHARES = (0.1, 0.3, 0.5)
"""Depths, as shares of the number of layers: the first is tried that neither the start nor the trace names, the first
two where the trace names the start's layers."""

SEARCH = {"v_lr": (0.5, 0.2)}

AXES: dict[str, dict[str, tuple]] = {
    "ZeroUnlearn": {"wiki_KKT_lam": (15000, 500, 3000, 60000, 240000), **SEARCH},
    "ZeroUnlearn_GD": {
        "target_weight": (100, 10, 1000),
        "gd_lr": (0.001, 0.003),
        "nullspace_threshold": (0.01, 0.001),
        **SEARCH,
    },
    "ZeroUnlearn_Local": {
        "mom2_update_weight": (1000, 300, 3000),
        "neighbors_per_template": (0, 40),
        "protect_weight": (10.0, 100.0),
        **SEARCH,
    },
    "ROME": {
        "v_num_grad_steps": (15, 25),
        "kl_factor": (0.0625, 0.25),
        "clamp_norm_factor": (0.75, 0.5, 1.5),
        **SEARCH,
    },
    "MEMIT": {"mom2_update_weight": (300, 30, 100, 1000, 3000), **SEARCH},
    "AlphaEdit": {"nullspace_threshold": (0.01, 0.001, 0.0001), "L2": (10, 1, 100), **SEARCH},
    "FT": {"lr": (5e-4, 5e-5, 1.5e-4, 1.5e-3), "norm_constraint": (None, 5e-4), "num_steps": (25, 10)},
    "GA": {"lr": (1e-3, 1e-4, 3e-4, 3e-3), "stop_above": (5.0, None), "num_steps": (25, 10)},
    "NPO": {"lr": (3e-5, 1e-5, 1e-4), "beta": (0.1, 0.5), "retain_weight": (1.0, 5.0), "num_steps": (10, 20)},
}
"""Method → hparam → values. The first is where the search starts; each further one is a trial of its own."""

FORGETTING, KEEPING = ("efficacy", "generalization"), ("specificity", "retain")
"""What the objective looks at: Eff and Gen, Spe and Retain."""

Values = dict[str, object]


@dataclass(frozen=True)
class Trial:
    """One try. changed: what differs from the best before it. score: see `score`; summary: of its run. refused: why the
    method would not take these hparams on this model; such a trial scores 0 and has no summary."""

    changed: Values
    hparams: HParams
    summary: dict
    score: float
    refused: str = ""


def axes(alg_name: str, start: HParams, traced: int, depth: int) -> dict[str, Sequence]:
    """The axes of a method: layers first, then its own.

    A method that edits one layer, several or all starts from that many; the two other choices are single layers.
    traced: the one that a causal trace of the model names (the last, where it names several), tried first. depth: the
    model's number of layers.
    """
    layers: dict[str, Sequence] = {}
    if isinstance(start, LayerHParams):
        choices = [start.layers, [traced], *([round(share * (depth - 1))] for share in SHARES)]
        layers = {"layers": [one for i, one in enumerate(choices) if one not in choices[:i]][:3]}
    return layers | AXES[alg_name]


def started(alg_name: str, start: HParams) -> HParams:
    """The hparams with the first value of every axis of the method."""
    return type(start)(**start.model_dump() | {name: values[0] for name, values in AXES[alg_name].items()})


def climb(start: HParams, along: dict[str, Sequence], measure: Callable[[HParams], dict]) -> list[Trial]:
    """Coordinate ascent of `score`, in the axes' order: one trial per further value, the rest at the best so far.

    measure: hparams → the summary of a run with them. The first trial is the start. A tie keeps the earlier. A value
    that the method refuses on this model (a threshold below every eigenvalue, say) counts as a trial; a start that it
    refuses is the user's to mend and raises UserError, and so are facts of which no trial could tell anything.
    """
    trials = [_trial({}, start, measure)]
    _check_base(trials[0].summary["base"])
    for name, values in along.items():
        best = max(trials, key=lambda trial: trial.score)
        for value in values[1:]:
            changed = type(start)(**best.hparams.model_dump() | {name: value})
            try:
                trials.append(_trial({name: value}, changed, measure))
            except UserError as error:
                trials.append(Trial({name: value}, changed, {}, 0.0, str(error)))
    return trials


def _check_base(base: dict) -> None:
    """UserError where every trial would score 0, because Base has nothing to lose or nothing to keep."""
    if not any(base.get(name) for name in FORGETTING):
        raise UserError("Base answers none of these facts; give --known prompt or other facts")
    if not any(base.get(name) for name in KEEPING):
        raise UserError("nothing that is to be kept is measured; give --retain_num or facts with neighbours")


def _trial(changed: Values, hparams: HParams, measure: Callable[[HParams], dict]) -> Trial:
    summary = measure(hparams)
    return Trial(changed, hparams, summary, score(summary["base"], summary["unlearned"]))


def score(base: dict, unlearned: dict) -> float:
    """The objective, 0 to 100: the harmonic mean of what was forgotten and what was kept.

    Forgotten: 100 less the mean of Eff and Gen, each as a share of Base's. Kept: the mean of Spe and Retain as shares
    of Base's (at most all), times Base's PPL over the run's where that is worse. What was not measured does not count.
    A model that broke (a value that is no number) scores 0.
    """
    left = [share for name in FORGETTING if (share := _share(base, unlearned, name)) is not None]
    kept = [share for name in KEEPING if (share := _share(base, unlearned, name)) is not None]
    if not left or not kept or any(share != share for share in left + kept):
        return 0.0
    forgotten, keeping = 1 - sum(left) / len(left), sum(kept) / len(kept)
    before, after = base.get("ppl"), unlearned.get("ppl")
    if before is not None:
        keeping *= min(1.0, before / after) if after == after and after else 0.0
    return 100 * 2 * forgotten * keeping / (forgotten + keeping) if forgotten + keeping else 0.0


def _share(base: dict, unlearned: dict, name: str) -> float | None:
    """A value as a share of Base's, at most 1; None where Base has none, or 0."""
    if not base.get(name) or unlearned.get(name) is None:
        return None
    return min(1.0, unlearned[name] / base[name])
