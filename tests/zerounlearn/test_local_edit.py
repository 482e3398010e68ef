"""ZeroUnlearn-Local on a model: what is protected, and that it stays where it was."""

from dataclasses import replace

import pytest
import torch

from tests.contract import RETAIN, forget, hparams_for
from tests.tiny import REQUESTS, TEMPLATES, TINY
from util.editing.contexts import PLAIN
from util.editing.setting import Setting
from util.errors import UserError
from util.request import Frame
from zerounlearn.local.edit import protected_requests


@pytest.fixture
def setting(family):
    model, tokenizer = TINY[family]()
    return Setting(
        model=model, tokenizer=tokenizer, requests=REQUESTS, context_templates=TEMPLATES, retain_requests=RETAIN
    )


def test_every_prompt_form_gets_invented_subjects_of_its_own(setting, family):
    forms = {request.prompt for request in REQUESTS}
    hparams = hparams_for("ZeroUnlearn_Local", family, invented_per_template=4)
    twice = replace(setting, requests=[*REQUESTS, *REQUESTS])
    for protected in (protected_requests(setting, hparams), protected_requests(twice, hparams)):
        invented = protected["invented"]
        assert sorted(request.prompt for request in invented) == sorted(form for form in forms for _ in range(4))
        assert len({request.subject for request in invented}) == len(invented)
    assert protected_requests(replace(setting, seed=1), hparams) != protected_requests(setting, hparams)


def test_who_has_no_room_among_the_models_positions_is_not_protected(setting, family, caplog):
    hparams = hparams_for("ZeroUnlearn_Local", family, invented_per_template=0, neighbors_per_template=1)
    named = replace(REQUESTS[0], subject="Ada " * 200 + "Bo")
    crowded = replace(setting, neighbors=[named], retain_requests=[*RETAIN, named])
    assert protected_requests(crowded, hparams) == {"invented": [], "existing": [], "retain": RETAIN}
    assert f"1 of {len(RETAIN) + 1} subjects are not protected" in caplog.text and "1 of 1 subjects" in caplog.text


def test_retain_requests_are_protected_where_asked_for(setting, family):
    for protect in (True, False):
        hparams = hparams_for("ZeroUnlearn_Local", family, invented_per_template=0, protect_retain=protect)
        found = protected_requests(setting, hparams)
        assert found == {"invented": [], "existing": [], "retain": RETAIN if protect else []}


def test_so_many_neighbours_of_each_prompt_form_are_protected(setting, family, caplog):
    hparams = hparams_for("ZeroUnlearn_Local", family, invented_per_template=0, neighbors_per_template=2)
    forms = list(dict.fromkeys(request.prompt for request in REQUESTS))
    named = [replace(REQUESTS[0], prompt=form, subject=name) for name in ("Ada", "Bo", "Cy") for form in forms]
    elsewhere = replace(REQUESTS[0], prompt="Nobody asked {} for", subject="Di")
    protected = protected_requests(replace(setting, neighbors=[*named, elsewhere]), hparams)["existing"]
    wanted = {(form, name) for form in forms for name in ("Ada", "Bo")}
    assert {(one.prompt, one.subject) for one in protected} == wanted
    assert caplog.messages == []
    assert protected_requests(setting, hparams)["existing"] == []
    assert f"asks for 2 existing subjects in each of {len(forms)} prompt forms, and 0 in all" in caplog.text


def test_at_no_weight_nobody_is_protected_but_for_a_centre(setting, family):
    for own_direction, count in (("none", 0), ("own", 0), ("centred", 2)):
        changes = {"protect_weight": 0.0, "own_direction": own_direction, "invented_per_template": 2}
        found = protected_requests(setting, hparams_for("ZeroUnlearn_Local", family, **changes))
        assert len(found["invented"]) == count * len({request.prompt for request in REQUESTS})


def test_forgotten_and_repeated_names_take_no_neighbours_place(setting, family, caplog):
    hparams = hparams_for("ZeroUnlearn_Local", family, invented_per_template=0, neighbors_per_template=3)
    one = replace(setting, requests=REQUESTS[:1])
    names = (REQUESTS[0].subject, "Ada", "ada", "Bo", "Bo", "Cy", "Di")
    named = [replace(REQUESTS[0], subject=name, case_id=place) for place, name in enumerate(names)]
    found = protected_requests(replace(one, neighbors=named), hparams)["existing"]
    assert [request.subject.casefold() for request in found] == ["ada", "bo", "cy"]
    assert "are named" not in caplog.text
    protected_requests(replace(one, neighbors=named[:5]), hparams)
    assert "and 2 in all are named" in caplog.text


def test_what_is_protected_stands_in_the_requests_frame(setting, family):
    frame = Frame("<user>", "</user>")
    framed = [replace(request, frame=frame, answer_prefix="") for request in REQUESTS]
    bare, inside = (replace(REQUESTS[0], subject="Bo", frame=one) for one in (Frame(), frame))
    hparams = hparams_for("ZeroUnlearn_Local", family, invented_per_template=2, neighbors_per_template=2)
    found = protected_requests(replace(setting, requests=framed, neighbors=[bare, inside]), hparams)
    assert found["invented"] and all(one.text.startswith(frame.before) for one in found["invented"])
    assert found["existing"] == [inside]


def test_what_is_to_be_forgotten_is_not_protected_and_its_subject_with_a_warning(setting, family, caplog):
    other = replace(REQUESTS[0], prompt="Somebody saw {} in", target_true="Rome")
    hparams = hparams_for("ZeroUnlearn_Local", family, invented_per_template=0, neighbors_per_template=1)
    given = replace(setting, retain_requests=[*RETAIN, REQUESTS[1], other], neighbors=[REQUESTS[0]])
    found = protected_requests(given, hparams)
    assert found == {"invented": [], "existing": [], "retain": [*RETAIN, other]}
    assert sum("they are not protected" in message for message in caplog.messages) == 2
    assert sum("will be forgotten less" in message for message in caplog.messages) == 1


def test_nothing_to_take_the_centre_of_is_refused(family):
    model, tokenizer = TINY[family]()
    changes = {"invented_per_template": 0, "protect_retain": False, "own_direction": "centred"}
    hparams = hparams_for("ZeroUnlearn_Local", family, **changes)
    with pytest.raises(UserError, match="own_direction"):
        forget("ZeroUnlearn_Local", model, tokenizer, hparams)


def test_a_neighbours_value_stays_where_it_is_protected(family):
    """Only through `neighbors`: nothing else is protected here."""
    moved = {}
    for count in (0, 1):
        model, tokenizer = TINY[family]()
        hparams = hparams_for(
            "ZeroUnlearn_Local",
            family,
            layers=[1],
            protect_weight=1e6,
            invented_per_template=0,
            neighbors_per_template=count,
            protect_retain=False,
            mom2_update_weight=1e-3,
        )
        neighbor = replace(REQUESTS[0], subject=RETAIN[0].subject)
        (name,) = hparams.rewrite_modules()
        asked = Setting(model=model, tokenizer=tokenizer, requests=[neighbor], context_templates=PLAIN)
        key = asked.keys(name)
        edits = forget("ZeroUnlearn_Local", model, tokenizer, hparams, neighbors=[neighbor])
        assert edits.diagnostics["protected"] == {"invented": 0, "existing": count, "retain": 0}
        (before,) = edits.original.values()
        change = model.get_parameter(f"{name}.weight").detach() - before
        change = change if change.shape[1] == len(key) else change.T
        moved[count] = float((change @ key).norm() / key.norm())
    assert moved[1] < 1e-3 * moved[0]


@pytest.mark.parametrize("own_direction", ["none", "own", "centred"])
def test_protected_outputs_stay_and_forgotten_ones_move(family, own_direction):
    """With a weight that dwarfs the rest, at the layer that is edited; without it they do move."""
    moved = {}
    for weight in (0.0, 1e6):
        model, tokenizer = TINY[family]()
        hparams = hparams_for(
            "ZeroUnlearn_Local",
            family,
            layers=[1],
            protect_weight=weight,
            invented_per_template=0,
            own_direction=own_direction,
            mom2_update_weight=1e-3,
        )
        (name,) = hparams.rewrite_modules()
        asked = {"context_templates": PLAIN}
        keys = {
            kind: Setting(model=model, tokenizer=tokenizer, requests=requests, **asked).keys(name)
            for kind, requests in (("forgotten", REQUESTS), ("kept", RETAIN))
        }
        edits = forget("ZeroUnlearn_Local", model, tokenizer, hparams)
        count = len(RETAIN) if weight or own_direction == "centred" else 0
        assert edits.diagnostics["protected"] == {"invented": 0, "existing": 0, "retain": count}
        (before,) = edits.original.values()
        change = model.get_parameter(f"{name}.weight").detach() - before
        change = change if change.shape[1] == len(keys["kept"]) else change.T
        moved[weight] = {kind: float((change @ K).norm() / K.norm()) for kind, K in keys.items()}
    assert moved[1e6]["kept"] < 1e-3 * moved[0.0]["kept"]
    assert moved[1e6]["forgotten"] > 10 * moved[1e6]["kept"]


def test_own_direction_is_gone_from_the_new_value(family):
    """What the module gives has nothing left of û where the change reaches its target: one fact, next to no corpus."""
    model, tokenizer = TINY[family]()
    for name, value in model.named_parameters():
        if name.endswith("bias"):  # of GPT-2: part of the output, and new ones are 0
            torch.nn.init.normal_(value, std=0.1)
    left = {}
    for own_direction in ("none", "own"):
        hparams = hparams_for(
            "ZeroUnlearn_Local",
            family,
            layers=[1],
            protect_weight=0.0,
            own_direction=own_direction,
            mom2_update_weight=1e-9,
        )
        (name,) = hparams.rewrite_modules()
        setting = Setting(model=model, tokenizer=tokenizer, requests=REQUESTS[:1], context_templates=TEMPLATES)
        u, k = setting.targets(hparams, setting.true_answers, 1, "module").values_ON, setting.keys(name)
        edits = forget("ZeroUnlearn_Local", model, tokenizer, hparams, requests=REQUESTS[:1])
        W = model.get_parameter(f"{name}.weight").detach()
        bias = model.get_submodule(name).bias
        v = (W @ k if W.shape[1] == len(k) else W.T @ k) + (0 if bias is None else bias.detach()[:, None])
        left[own_direction] = abs(float(torch.nn.functional.cosine_similarity(u, v, dim=0)))
        edits.undo(model)
    assert left["own"] < 1e-4 and left["none"] > 1e-2
