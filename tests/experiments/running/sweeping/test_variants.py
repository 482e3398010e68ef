"""Presets vary what they say and nothing else."""

import pytest

from baselines.registry import method
from experiments.running.script_settings import SweepSettings
from experiments.running.sweeping.grid import rows
from experiments.running.sweeping.variants import PRESETS, SIZES, TARGETS
from util.errors import UserError
from util.paths import hparams_dir


def hparams(name="ZeroUnlearn", model="Llama-3.1-8B-Instruct"):
    return method(name).HParams.from_json(hparams_dir() / name / f"{model}.json")


def test_ablation_changes_one_thing_at_a_time():
    full, *others = PRESETS["ablation"]("ZeroUnlearn", hparams())
    assert full.changed(hparams()) == hparams()
    by_hparams = [variant for variant in others if variant.hparams]
    changes = [
        {
            key: value
            for key, value in variant.changed(hparams()).model_dump().items()
            if value != getattr(hparams(), key)
        }
        for variant in by_hparams
    ]
    assert changes == [{"projector": "none"}, {"projector": "identity_preserving"}, {"wiki_KKT_lam": 0}]
    assert [variant.flags for variant in others if variant.flags] == [{"edit_layer_nums": 1}, {"edit_layer_nums": 2}]


def test_targets_sizes_and_layers():
    assert [v.flags["neutral_target"] for v in PRESETS["targets"]("MEMIT", hparams("MEMIT"))] == list(TARGETS)
    assert [v.flags["unlearn_num"] for v in PRESETS["sizes"]("ROME", hparams("ROME"))] == list(SIZES)
    assert [v.flags["edit_layer_nums"] for v in PRESETS["layers"]("ZeroUnlearn", hparams())] == [1, 2, 3]
    assert len(PRESETS["layers"]("ZeroUnlearn", hparams(model="world"))) == 1
    kinds = [v.changed(hparams("MEMIT")).target for v in PRESETS["searches"]("MEMIT", hparams("MEMIT"))]
    assert kinds == ["neutral", "ignorance", "one_step"]


@pytest.mark.parametrize(("preset", "name"), [("ablation", "MEMIT"), ("layers", "BASE"), ("searches", "GA")])
def test_presets_a_method_cannot_have(preset, name):
    with pytest.raises(UserError, match=name):
        PRESETS[preset](name, hparams(name))


def test_a_preset_varies_one_method():
    chosen = rows(SweepSettings.checked(preset="targets", methods=("MEMIT",)))
    assert chosen[1].label == "MEMIT to I don't know."
    with pytest.raises(UserError, match="one method"):
        rows(SweepSettings.checked(preset="targets", methods=("MEMIT", "ROME")))


def test_ignorance_is_tried_as_it_was_chosen_and_one_s_own_is_left_alone():
    chosen = hparams("ZeroUnlearn_Local", "world_ignorance")
    for given in (hparams("MEMIT"), chosen.model_copy(update={"target_scale": 2.0})):
        variants = {v.hparams["target"]: v.changed(given) for v in PRESETS["searches"]("MEMIT", given)}
        expected = given if given.target == "ignorance" else chosen
        assert variants["ignorance"].target_scale == expected.target_scale
        assert variants["ignorance"].invented_subjects == expected.invented_subjects
        assert variants["one_step"].target_scale == given.target_scale
