"""Nothing half-written has a final name; what the user can mend is one line and exit code 2."""

import errno
import json
import logging
import os
import subprocess
import sys

import pytest
import torch

from util.errors import UserError
from util.paths import root
from util.provenance import provenance
from util.runs import (
    OURS,
    Parser,
    Stopwatch,
    check_file,
    cli,
    finished_runs,
    read_jsonl,
    run_folder,
    shows_bars,
    stages,
    write_json,
    write_jsonl,
    write_text,
)


def test_files_are_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / "new" / "value.json"
    write_json(path, {"b": 1, "a": "ü"})
    assert path.read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": "ü"\n}\n'

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text(path, "other")
    assert json.loads(path.read_text(encoding="utf-8")) == {"b": 1, "a": "ü"}


def test_no_nan_reaches_a_file(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"ppl": float("nan")})
    with pytest.raises(ValueError):
        write_jsonl(tmp_path / "x.jsonl", [{"ppl": float("inf")}])
    assert list(tmp_path.iterdir()) == []


def test_lines(tmp_path):
    write_jsonl(tmp_path / "x.jsonl", [{"a": "é"}, {}])
    assert (tmp_path / "x.jsonl").read_text(encoding="utf-8") == '{"a": "é"}\n{}\n'


def test_lines_come_back_whatever_unicode_calls_a_line(tmp_path):
    rows = [{"said": f"a{end}b"} for end in "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"]
    write_jsonl(tmp_path / "x.jsonl", rows)
    assert read_jsonl(tmp_path / "x.jsonl") == rows
    write_jsonl(tmp_path / "x.jsonl", [])
    assert read_jsonl(tmp_path / "x.jsonl") == []


def filled(parent, stem="m_d"):
    with run_folder(parent, stem) as claim:
        assert claim.final is None
        (claim.partial / "summary.json").write_text("{}")
    assert (claim.final / "summary.json").is_file()


def test_ids_count_up_and_leave_others_alone(tmp_path):
    for stem in ("m_d", "m_d", "m_d2"):
        filled(tmp_path / "ALG", stem)
    names = sorted(path.name for path in (tmp_path / "ALG").iterdir())
    assert names == ["m_d2_run_000", "m_d_run_000", "m_d_run_001"]
    assert [path.name for path in finished_runs(tmp_path / "ALG", "m_d")] == ["m_d_run_000", "m_d_run_001"]
    assert finished_runs(tmp_path / "absent", "m_d") == []


@pytest.mark.parametrize("problem", [UserError, KeyboardInterrupt, RuntimeError])
def test_a_run_that_fails_leaves_nothing(tmp_path, problem):
    with pytest.raises(problem), run_folder(tmp_path, "m_d") as claim:
        (claim.partial / "summary.json").write_text("{}")
        assert finished_runs(tmp_path, "m_d") == []
        raise problem
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_summary_is_not_finished(tmp_path):
    with run_folder(tmp_path, "m_d") as claim:
        (claim.partial / "run.json").write_text("{}")
    assert finished_runs(tmp_path, "m_d") == []


def test_names_are_not_patterns(tmp_path):
    filled(tmp_path, "m[1]*_d")
    assert [path.name for path in finished_runs(tmp_path, "m[1]*_d")] == ["m[1]*_d_run_000"]


def test_an_id_that_another_process_took_is_not_overwritten(tmp_path):
    filled(tmp_path)
    with run_folder(tmp_path, "m_d") as claim:
        (claim.partial / "summary.json").write_text("{}")
        other = tmp_path / "m_d_run_001"
        other.mkdir()
        (other / "summary.json").write_text("theirs")
    assert claim.final == tmp_path / "m_d_run_002"
    assert (other / "summary.json").read_text() == "theirs"


def test_runs_of_one_name_that_are_made_at_once_do_not_meet(tmp_path):
    with run_folder(tmp_path, "m_d") as first:
        (first.partial / "summary.json").write_text("first")
        with run_folder(tmp_path, "m_d") as second:
            (second.partial / "summary.json").write_text("second")
    assert (first.final / "summary.json").read_text() == "first"
    assert (second.final / "summary.json").read_text() == "second" and first.final != second.final


@pytest.mark.parametrize(
    ("problem", "code", "line"),
    [
        (UserError("bad\n  thing; mend it"), 2, "error: bad thing; mend it\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "a/b"),
            2,
            "error: no room for a/b (No space left on device)",
        ),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 2, "error: no room (Disk quota exceeded); make room"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "aaa"), 2, "error: the path aaa cannot be used (File name"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"), 2, "error: the path a/b cannot be used (Not a"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), 2, "error: the path a cannot be used (Permission"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_exit_codes(capsys, problem, code, line):
    def main(_):
        raise problem

    with pytest.raises(SystemExit) as exit_info:
        cli(main)
    said = capsys.readouterr()
    assert (exit_info.value.code, said.out) == (code, "")
    assert said.err.startswith(line) and said.err.count("\n") == 1


def test_what_the_system_refuses_without_a_path_is_a_bug():
    def main(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    with pytest.raises(PermissionError):
        cli(main)


LATE = """
import logging
from util.runs import cli

def main(_):
    import huggingface_hub.utils.logging as late
    late.get_logger("huggingface_hub.utils._http").warning("Retrying [Retry 1/5].")

cli(main)
"""


def test_the_hubs_own_attempts_are_no_lines_of_ours_where_it_is_imported_later():
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=True, cwd=root())
    assert done.stderr == ""


def test_the_hubs_own_attempts_are_no_lines_of_ours(capfd):
    def main(_):
        for attempt in range(3):
            logging.getLogger("huggingface_hub.utils._http").warning("Retrying [Retry %d/5].", attempt)
        raise UserError("no network; put the file there")

    logging.getLogger("huggingface_hub").setLevel(logging.WARNING)
    with pytest.raises(SystemExit):
        cli(main)
    assert capfd.readouterr().err == "error: no network; put the file there\n"


def test_a_bug_keeps_its_traceback():
    def main(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cli(main)


def test_a_results_folder_that_cannot_be_made_is_the_users_matter(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="results_dir"), run_folder(tmp_path / "file" / "ALG", "m_d"):
        pass


def test_a_place_where_no_file_can_be_written_is_told_with_its_flag(tmp_path):
    (tmp_path / "a file").touch()
    check_file(tmp_path / "a file", "--output")  # is written over
    check_file(tmp_path / "new" / "table.json", "--output")
    with pytest.raises(UserError, match=f"{tmp_path} is a folder; name a file with --output"):
        check_file(tmp_path, "--output")
    with pytest.raises(UserError, match="cannot be written; choose another --json"):
        check_file(tmp_path / "a file" / "table.json", "--json")


def test_the_stopwatch_adds_up():
    watch = Stopwatch()
    for _ in range(2):
        with watch.stage("load"):
            pass
    assert list(watch.seconds) == ["load"]
    assert watch.seconds["load"] > 0


def test_provenance_is_json():
    assert json.dumps(provenance(torch.device("cpu")))


@pytest.mark.parametrize(("argv", "shown"), [(["x.py"], False), (["x.py", "--verbose"], True)])
def test_verbose_shows_what_is_said_at_length(argv, shown, monkeypatch):
    loggers = {name: logging.getLogger(name) for name in OURS}
    before = {name: logger.level for name, logger in loggers.items()}
    monkeypatch.setattr("sys.argv", argv)
    seen = []
    try:
        cli(lambda _: seen.extend(logging.getLogger(f"{name}.x").isEnabledFor(logging.INFO) for name in OURS))
    finally:
        for name, logger in loggers.items():
            logger.setLevel(before[name])
    assert seen == [shown] * len(OURS)
    assert not logging.getLogger("transformers.x").isEnabledFor(logging.INFO)


@pytest.mark.parametrize(("argv", "told"), [(["x.py"], True), (["x.py", "--quiet"], False)])
def test_quiet_scripts_tell_no_stages(argv, told, monkeypatch):
    before, seen = stages.level, []
    monkeypatch.setattr("sys.argv", argv)
    try:
        cli(lambda _: seen.append(stages.isEnabledFor(logging.INFO)))
    finally:
        stages.setLevel(before)
    assert seen == [told]


def test_every_parser_takes_verbose():
    assert Parser(prog="x.py").parse_args(["--verbose"]).verbose


def test_stages_are_told_where_no_bar_is_drawn(caplog):
    caplog.set_level(logging.INFO)
    for told in (False, True):
        watch = Stopwatch(told)
        watch.add("solve", 2.0)
        watch.add("solve", 1.0)
        watch.add("keys", 0.01)
        assert watch.seconds == {"solve": 3.0, "keys": 0.01}
    assert caplog.messages == ["solve: 2.0 s", "solve: 1.0 s"]


@pytest.mark.parametrize(
    ("terminal", "quiet", "shown"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_bars_are_for_terminals(monkeypatch, terminal, quiet, shown):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    assert shows_bars(quiet) is shown
