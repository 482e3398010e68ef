"""``--dry_run`` times the targets that the hparams name, in the way that these are found."""

import json
from pathlib import Path

import pytest

from experiments import unlearn as script
from experiments.requests.unlearning import estimating
from tests.experiments.unlearnable import argv, make_place, strong


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """(folder, facts) of `unlearnable.make_place`."""
    folder = tmp_path_factory.mktemp("estimating")
    return folder, make_place(folder)


class Clock:
    """A clock that is a second later whenever somebody looks."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1
        return self.now


@pytest.mark.parametrize("target", ["neutral", "one_step", "ignorance"])
def test_the_kind_of_target_is_timed_that_is_named(place, work, tmp_path, monkeypatch, capsys, target):
    """The search was timed whatever the kind, and told for its steps."""
    path = Path(strong(work))
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"target": target}), encoding="utf-8")
    facts = sorted(place[1], key=lambda fact: fact["prompt"])
    facts = [*facts[:4], *facts[-2:]]
    assert len({fact["prompt"] for fact in facts[:2]}) == 1 and len({fact["prompt"] for fact in facts}) > 1
    timed, real = [], estimating.find_targets
    monkeypatch.setattr(estimating, "find_targets", lambda *a, **k: timed.append((a, k)) or real(*a, **k))
    monkeypatch.setattr(estimating, "time", Clock())
    monkeypatch.setattr(estimating, "TRIED_FACTS", 2)
    wanted = [{"id": str(i), **fact} for i, fact in enumerate(facts)]
    dry = {"hparams_fname": path, "dry_run": "", "save_model": None, "report": None}
    assert script.main(argv(place[0], tmp_path, *wanted, **dry)) == 0
    ((given, options),) = timed
    assert options["target"] == target and len(given[2]) == 2
    assert given[6].v_num_grad_steps == (estimating.TRIED_STEPS if target == "neutral" else 15)
    whole = {  # of one second for two facts of one prompt form
        "neutral": f"{6 / 2 * 15 / estimating.TRIED_STEPS:.0f} s, the most if no search ends early",
        "one_step": f"{6 / 2:.0f} s",
        "ignorance": f"{len({fact['prompt'] for fact in facts})} s",
    }
    assert f"targets: about {whole[target]}\n" in capsys.readouterr().out
