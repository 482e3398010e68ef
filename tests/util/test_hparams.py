import json

import pytest
from pydantic import ValidationError

from tests.tiny import MODULE_NAMES, TARGET_SETTINGS
from util.errors import UserError
from util.hparams import MomentHParams

GOOD = TARGET_SETTINGS | MODULE_NAMES["llama"]


def write(folder, values) -> str:
    path = folder / "model.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return str(path)


def test_good_file(tmp_path):
    hparams = MomentHParams.from_json(write(tmp_path, GOOD))
    assert hparams.rewrite_modules() == ["model.layers.1.mlp.down_proj", "model.layers.2.mlp.down_proj"]
    with pytest.raises(ValidationError, match="frozen"):
        hparams.v_lr = 1.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"v_lrr": 1}, "unknown key 'v_lrr'"),
        ({"v_lr": "0.5"}, "key 'v_lr' is '0.5'"),
        ({"v_lr": -1}, "key 'v_lr'"),
        ({"v_num_grad_steps": 2.5}, "key 'v_num_grad_steps'"),
        ({"layers": []}, "key 'layers'"),
        ({"layers": [2, 1]}, "ascending"),
        ({"layers": [-1]}, "layers.0"),
        ({"fact_token": "subject_first"}, "key 'fact_token'"),
        ({"rewrite_module_tmp": "model.layers.down_proj"}, "one '{}'"),
    ],
)
def test_bad_keys_name_file_and_key(tmp_path, change, words):
    path = write(tmp_path, GOOD | change)
    with pytest.raises(UserError) as caught:
        MomentHParams.from_json(path)
    assert path in str(caught.value) and words in str(caught.value) and "\n" not in str(caught.value)


def test_missing_key(tmp_path):
    values = {key: value for key, value in GOOD.items() if key != "kl_factor"}
    with pytest.raises(UserError, match="missing key 'kl_factor'"):
        MomentHParams.from_json(write(tmp_path, values))


@pytest.mark.parametrize(("text", "words"), [("{", "no JSON"), ("[1]", "one JSON object")])
def test_bad_files(tmp_path, text, words):
    with pytest.raises(UserError, match=words):
        MomentHParams.from_json(write(tmp_path, text))


def test_a_file_that_is_not_there_lists_what_is(tmp_path):
    write(tmp_path, GOOD)
    with pytest.raises(UserError, match=r"model\.json"):
        MomentHParams.from_json(tmp_path / "other.json")
