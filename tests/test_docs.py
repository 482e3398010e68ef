"""The documentation is true: its commands and its Python run, its flags are those that exist, its links lead somewhere.

A command runs as it stands but for what `SMALLER` changes to make it small. One that nobody knows how to run fails.
"""

import importlib
import json
import re
import shutil
import tomllib
from collections.abc import Callable
from functools import cache, partial
from itertools import takewhile
from pathlib import Path

import pytest
from transformers import AutoTokenizer

import dsets
from dsets import world
from experiments import random_model
from experiments.requests.asking.wanted import read_requests
from experiments.running.sweeping import variants
from tests import documented
from tests.documented import Block, Command
from tests.documented_commands import FETCHED, KNOWING, MISSING, ONLY_READ, SMALLER
from tests.experiments.downstream_rows import ROWS
from tests.experiments.requests.small_edit import write_patch
from tests.experiments.small import fact
from tests.golden import record
from tests.test_shell import bash
from tests.tiny import tiny_llama
from util import fetched_models, modeling, paths
from util.choices import WORLD
from util.errors import UserError
from util.paths import root


@pytest.fixture(scope="module")
def world_records():
    """The world's data sets, each made once: every command that names one would make it anew."""
    return cache(world.records)


@pytest.fixture(scope="module")
def seen() -> set[str]:
    """Commands that were run: one that a second page shows need not run again."""
    return set()


@pytest.fixture(scope="module")
def world_patch(tmp_path_factory) -> Path:
    """A patch of the embedded model."""
    path = tmp_path_factory.mktemp("patch") / "gone.safetensors"
    write_patch(path, *modeling.load(device="cpu"))
    return path


@pytest.fixture
def place(tmp_path, monkeypatch, world_records, world_patch) -> Path:
    """A working directory with what the pages speak of (facts.json, rows.json, models/my-model …) and short hparams;
    results, statistics and data go there too.
    """
    for variable in ("STATS", "RESULTS", "DATA", "HPARAMS"):
        monkeypatch.setenv(f"ZEROUNLEARN_{variable}", str(tmp_path / variable.lower()))
    monkeypatch.delenv("ZEROUNLEARN_MODELS", raising=False)
    _short_hparams(tmp_path / "hparams")
    (tmp_path / "my_facts.json").write_text(json.dumps([fact(i) for i in range(24)]), encoding="utf-8")
    (tmp_path / "facts.json").write_text(json.dumps(world_records("mcf")[:4]), encoding="utf-8")
    (tmp_path / "requests.jsonl").write_text('"[[The Velvet Lantern]] belongs to the genre of"', encoding="utf-8")
    (tmp_path / "rows.json").write_text(json.dumps(ROWS), encoding="utf-8")
    for part in tiny_llama():
        part.save_pretrained(tmp_path / "models" / "my-model")
    for name in ("gone", "one", "other"):
        shutil.copy(world_patch, tmp_path / f"{name}.safetensors")
    monkeypatch.setattr(variants, "SIZES", (1, 2))
    monkeypatch.setattr(world, "records", world_records)
    config_class, shape = random_model.SHAPES["Llama-3.2-1B"]
    small = shape | {"hidden_size": 64, "intermediate_size": 96, "vocab_size": 2000, "head_dim": 2}
    monkeypatch.setitem(random_model.SHAPES, "Llama-3.2-1B", (config_class, small))
    monkeypatch.setattr(fetched_models, "fetch", lambda name, folder, **_: folder)
    monkeypatch.setattr(record, "RECORD", tmp_path / "record.safetensors")
    monkeypatch.setattr(record, "methods", lambda: ["MEMIT"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _short_hparams(folder: Path) -> None:
    """The committed files, with few documents and few steps; the fetched model's are those of the embedded one, in
    whose place the same random model stands.
    """
    short = {"mom2_n_samples": 40, "v_num_grad_steps": 3, "num_steps": 2, "gd_steps": 5}
    for file in (root() / "hparams").glob("*/*.json"):
        values = json.loads(file.read_text(encoding="utf-8"))
        to = folder / file.parent.name
        to.mkdir(parents=True, exist_ok=True)
        for name in {WORLD: (WORLD, FETCHED), FETCHED: ()}.get(file.stem, (file.stem,)):
            made = values | {key: short[key] for key in short if key in values}
            (to / f"{name}.json").write_text(json.dumps(made), encoding="utf-8")


def changed(arguments: list[str], changes: dict[str, str | None]) -> list[str]:
    """The command line with some flags' values in place of what it gives them, or added."""
    kept, skipping = [], False
    for word in arguments:
        skipping = word in changes or (skipping and not word.startswith("--"))
        if not skipping:
            kept.append(word)
    return kept + [part for flag, value in changes.items() for part in (flag, value) if part is not None]


def _small_world(place: Path, model_dir: Callable, name: str, flag: str | None = None) -> Path | None:
    """`util.paths.model_dir`, but that the embedded model and the fetched one are a random one with its tokenizer."""
    if name not in (WORLD, FETCHED):
        return model_dir(name, flag)
    folder = place / "small_world"
    if not folder.exists():
        tokenizer = AutoTokenizer.from_pretrained(model_dir(WORLD))
        special = {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "pad")}
        model, _ = tiny_llama(vocab_size=len(tokenizer), max_position_embeddings=512, **special)
        for part in (model, tokenizer):
            part.save_pretrained(folder)
    return folder


# --- how each kind of command is run


def run_script(command: Command, place: Path) -> None:
    name, arguments = Path(command.words[1]).stem, command.words[2:]
    if name in ONLY_READ:
        importlib.import_module(f"experiments.{name}").parse(arguments)
        return
    if name not in SMALLER:
        raise AssertionError(f"no test knows how to run {command.words}; add it to SMALLER")
    if name == "summarize":
        named = arguments[arguments.index("--methods") + 1 :]
        sweep = f"sweep --methods {' '.join(takewhile(lambda word: not word.startswith('--'), named))}"
        run_script(Command({}, ["python", *sweep.split()]), place)
    with pytest.MonkeyPatch.context() as patched:
        if name not in KNOWING:
            patched.setattr(paths, "model_dir", partial(_small_world, place, paths.model_dir))
        own = {"--datasets": "real"} if FETCHED in arguments and name == "sweep" else {}
        importlib.import_module(f"experiments.{name}").main(changed(arguments, SMALLER[name] | own))


def run_module(command: Command, _place: Path) -> None:
    importlib.import_module(command.words[2]).main()


def run_shell(command: Command, place: Path) -> None:
    """What the shell script would start, recorded by a stand-in for Python, then run small."""
    done = bash(str(root() / command.words[1]), *command.words[2:], folder=place, **command.variables)
    assert done.returncode == 0, done.stderr
    script, *arguments = done.stdout.splitlines()
    if command.words[1] == "sh/test.sh":
        assert {"ruff", "pytest"} <= {script, *arguments}
    else:
        run_script(Command({}, ["python", script, *arguments]), place)


def run_pip(command: Command, _place: Path) -> None:
    """Nothing is installed; the lists and groups that are named exist."""
    groups = tomllib.loads((root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert command.words[1] == "install"
    for word in command.words[2:]:
        named = re.fullmatch(r"\.(?:\[([\w,-]+)\])?", word)
        assert word in ("-r", "-e") or named or (root() / word).is_file(), word
        assert not named or not named[1] or set(named[1].split(",")) <= set(groups), word


def activate(command: Command, _place: Path) -> None:
    """The environment that setup.sh makes; there is none where another was active."""
    assert command.words[1] == ".venv/bin/activate"


RUNNERS: dict[str, Callable[[Command, Path], None]] = {
    "python experiments/": run_script,
    "python -m tests.": run_module,
    "bash sh/": run_shell,
    "pip ": run_pip,
    "source ": activate,
}
"""Beginning of a command → how it is run."""


def run(command: Command, place: Path) -> None:
    line = " ".join([*command.variables, *command.words])
    runner = next((run for beginning, run in RUNNERS.items() if " ".join(command.words).startswith(beginning)), None)
    assert runner, f"no test knows how to run: {line}"
    complaint = next((words for sign, words in MISSING.items() if line.endswith(sign) or sign in line.split()), None)
    if complaint is None:
        runner(command, place)
        return
    with pytest.raises(UserError, match=complaint):
        runner(command, place)


# --- the documentation


def identify(block: Block) -> str:
    return block.place


@pytest.mark.untraced
@pytest.mark.parametrize("block", documented.all_blocks("bash"), ids=identify)
def test_commands_run(block, place, seen):
    assert block.commands()
    for command in block.commands():
        if str(command) not in seen:
            seen.add(str(command))
            run(command, place)


@pytest.mark.parametrize("block", documented.all_blocks("python"), ids=identify)
def test_python_runs(block, place):
    exec(compile(block.text, block.place, "exec"), {"__name__": "documented"})


@pytest.mark.parametrize("block", documented.all_blocks("json"), ids=identify)
def test_facts_load(block, place):
    (place / "shown.json").write_text(block.text, encoding="utf-8")
    assert len(dsets.load("shown.json").records) == len(json.loads(block.text))


@pytest.mark.parametrize("block", documented.all_blocks("jsonl"), ids=identify)
def test_requests_are_read_and_are_facts_of_the_world(block, place, world_records):
    (place / "shown.jsonl").write_text(block.text, encoding="utf-8")
    asked = read_requests(str(place / "shown.jsonl"))
    known = {
        (one["requested_rewrite"]["subject"], one["requested_rewrite"]["target_true"]["str"])
        for one in world_records("mcf")
    }
    assert asked and {(one.subject, one.record.target_true) for one in asked} <= known


SCRIPTS = sorted(path.stem for path in (root() / "experiments").glob("*.py") if not path.stem.startswith("_"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_flags_are_those_that_exist(name, capsys):
    with pytest.raises(SystemExit):
        importlib.import_module(f"experiments.{name}").main(["--help"])
    usage = capsys.readouterr().out.partition("\n\n")[0]
    exist = {flag for flag in re.findall(r"--\w[\w-]*", usage) if not flag.startswith("--no-")}
    told = documented.section_flags(root() / "docs" / "command_line.md").get(f"experiments/{name}.py")
    assert told == exist


@pytest.mark.parametrize("page", [*documented.pages(), root() / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        file, _, name = target.partition("#")
        there = page.parent / file if file else page
        assert there.exists(), target
        headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.M) if name else []
        assert not name or name in map(documented.anchor, headings), target


def test_every_page_is_in_the_index():
    index = (root() / "docs" / "README.md").read_text(encoding="utf-8")
    readme = (root() / "README.md").read_text(encoding="utf-8")
    for page in documented.pages()[1:]:
        assert page.name == "README.md" or (f"({page.name})" in index and f"(docs/{page.name})" in readme), page


# --- the checks themselves


@pytest.mark.parametrize("text", ["```\npython x\n```", "```sh\nx\n```", "    python x", "```bash\nx"])
def test_no_command_hides(text):
    with pytest.raises(ValueError, match="a block|a command"):
        list(documented.blocks(root() / "README.md", text))


def test_commands_in_sentences_and_blocks_are_found():
    text = "Say `bash sh/x.sh 1 | less` or\n```bash\nA=1 python a \\\n  --b 2   # remark\n\n# remark\npip c\n```\n"
    found = [command for block in documented.blocks(root() / "README.md", text) for command in block.commands()]
    assert [command.words[0] for command in found] == ["bash", "python", "pip"]
    assert found[1] == Command({"A": "1"}, ["python", "a", "--b", "2"])


@pytest.mark.parametrize("line", ["python experiments/no_such.py", "python no.py", "rm -r /", "pip install -r no.txt"])
def test_a_command_that_nobody_can_run_fails(line, place):
    with pytest.raises(AssertionError):
        run(Command.of(line.split()), place)


def test_flags_are_changed_with_all_their_values():
    assert changed(["--a", "1", "2", "--b", "--c", "3"], {"--a": "9", "--b": None, "--d": "4"}) == [
        *("--c", "3"),
        *("--a", "9", "--b", "--d", "4"),
    ]
