"""The contract matrix: every registered method × every check × a Conv1D and a grouped-head model.

A method that is registered is picked up unasked.
"""

import ast
import sys

import pytest

from baselines import registry
from baselines.registry import METHODS
from tests.contract import CHECKS, forget, hparams_for
from tests.floors import modules
from tests.tiny import TINY
from util.errors import UserError
from util.paths import root
from util.weights import read_weight

pytestmark = pytest.mark.untraced

EIGHTH = {
    "__init__.py": """
from halve.edit import edit
from halve.hparams import HParams
from util.editing.method import public

apply_to_model = public(edit)
""",
    "hparams.py": """
from util.hparams import LayerHParams


class HParams(LayerHParams):
    factor: float = 0.5
""",
    "edit.py": """
from util.weights import WeightEdits, read_weight


def edit(setting, hparams):
    edits = WeightEdits()
    for name in hparams.rewrite_modules():
        edits.write(setting.model, name, hparams.factor * read_weight(setting.model, name))
    return edits
""",
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_the_contract(method, check, family):
    CHECKS[check](method, family)


def test_a_new_method_is_one_package_and_one_line(tmp_path, monkeypatch, family):
    """The matrix runs over it, and the look-up and its error message know it."""
    folder = tmp_path / "halve"
    folder.mkdir()
    for name, text in EIGHTH.items():
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "halve"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(registry.METHODS, "Halve", "halve")
    for check in CHECKS.values():
        check("Halve", family)
    model, tok = TINY[family]()
    hparams = hparams_for("Halve", family)
    before = read_weight(model, hparams.rewrite_module(1)).clone()
    forget("Halve", model, tok, hparams)
    assert (read_weight(model, hparams.rewrite_module(1)) == before / 2).all()
    with pytest.raises(UserError, match="Halve"):
        registry.method("Nonesuch")


def test_the_matrix_sees_a_method_that_breaks_its_word(family, monkeypatch):
    """Each of these faults is caught by the check that is named after it."""
    package = registry.method("MEMIT")
    real = package.apply_to_model

    def run(fault):
        def apply_to_model(model, tokenizer, requests, hparams, **options):
            edits = real(model, tokenizer, requests, hparams, **options)
            fault(model, edits)
            return edits

        monkeypatch.setattr(package, "apply_to_model", apply_to_model)

    faults = {
        "only_declared_weights_change_and_all_of_them": lambda model, _: next(model.parameters()).data.add_(1),
        "undo_is_bit_exact": lambda _, edits: [value.add_(1e-6) for value in edits.original.values()],
        "hooks_modes_and_flags_are_as_before": lambda model, _: model.eval(),
        "what_is_told_is_json": lambda _, edits: edits.diagnostics.update(bad=float("nan")),
    }
    for check, fault in faults.items():
        run(fault)
        with pytest.raises((AssertionError, ValueError)):
            CHECKS[check]("MEMIT", family)


def test_the_public_signature_stands_in_one_place():
    """`apply_to_model` is written once; a package's own is that one, and says in its help what is its own."""
    names = {"retain_requests", "previous", "context_templates", "moments"}
    found = [
        (module, node.name)
        for module, path in modules(root()).items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and names <= {argument.arg for argument in node.args.kwonlyargs}
    ]
    assert found == [("util.editing.method", "apply_to_model")]
    for name in METHODS:
        package = registry.method(name)
        assert package.edit.__doc__ in package.apply_to_model.__doc__
        assert package.apply_to_model.__module__ == package.edit.__module__
