"""evaluate.py: flags that say how much is forgotten and edited, what PPL is read on, and where a model goes."""

import pytest

from experiments import evaluate
from tests.experiments.small import hparams_of, read
from util import tensor_files
from util.errors import UserError


def test_a_share_of_the_pool(work):
    evaluate.main(work.arguments(ratio_or_num="ratio", ratio=0.5))
    assert read(work.runs()[0], "summary.json")["unlearn_num"] == 6


def test_a_share_that_does_not_count_is_told(work, caplog):
    evaluate.main(work.arguments(ratio=0.5))
    asked = read(work.runs()[0], "summary.json")["unlearn_num"]
    assert f"--ratio 0.5 does not count without --ratio_or_num ratio: {asked} facts are forgotten" in caplog.text


def test_the_last_layers_only(work):
    evaluate.main(work.arguments(edit_layer_nums=1))
    assert read(work.runs()[0], "params.json")["layers"] == [2]


def test_the_published_perplexity_beside_a_method_without_a_corpus(work, monkeypatch, tmp_path):
    """It is that of ZeroUnlearn's corpus for the model, as in a sweep."""
    flags = work.arguments(alg_name="GA", hparams_fname=hparams_of(work, "GA"))
    monkeypatch.setenv("ZEROUNLEARN_HPARAMS", str(tmp_path))
    with pytest.raises(UserError, match="--ppl paper reads .*ZeroUnlearn's is not known.*Tiny.json does not exist"):
        evaluate.main(flags)
    (tmp_path / "ZeroUnlearn").mkdir()
    (tmp_path / "ZeroUnlearn" / "Tiny.json").write_bytes((work.folder / "hparams.json").read_bytes())
    evaluate.main(flags)
    evaluate.main(work.arguments())
    alone, beside = (read(folder, "summary.json")["base"]["ppl"] for folder in work.runs())
    assert alone == beside is not None


def test_a_model_that_cannot_be_saved_after_all_is_one_line(work, monkeypatch):
    def full(*_args, **_options):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(tensor_files, "tensors_atomically", full)
    with pytest.raises(UserError, match="--save_model .*out cannot be written .Input/output error"):
        evaluate.main(work.arguments(save_model=work.results / "out", ppl="none"))
    assert work.runs() == []
