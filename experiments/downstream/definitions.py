"""The harness's own task definitions, over its own data sets or over local rows. Imports lm_eval: see the package."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import datasets
import lm_eval.tasks
from lm_eval.api.group import Group
from lm_eval.api.task import Task
from lm_eval.config.group import GroupConfig
from lm_eval.tasks import TaskManager

from dsets.hub import hub_failures
from experiments.downstream.task_rows import TASKS, LocalRows
from util.errors import UserError

SUBJECT = "mmlu_"
"""The harness's name of an MMLU subject's definition starts so."""


@dataclass(frozen=True)
class Loaded:
    """tasks: name of a part (``nli``, ``mmlu_anatomy``) → its definition over its rows. groups: MMLU, with its average.

    places: for local rows, name of a part → where in the file's list of the task each of its rows stands.
    """

    tasks: dict[str, Task]
    groups: dict[str, Group]
    places: dict[str, list[int]]


def task_of(part: str) -> str:
    """The task that a part belongs to."""
    return "mmlu" if part.startswith(SUBJECT) else part


def hub_tasks(names: Sequence[str]) -> Loaded:
    """The definitions over their own data sets, fetched by `datasets` or read from its cache."""
    try:
        with _without_hints():
            found = _manager().load(list(names))
    except hub_failures() as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"the data of {', '.join(names)} cannot be had from the hub ({type(error).__name__}: {reason}); "
            "check the network, or give the rows in a file with --downstream_data"
        ) from error
    return _zero_shot(Loaded(found["tasks"], found["groups"], {}))


def local_tasks(rows: LocalRows) -> Loaded:
    """The same definitions over the rows of a file. Raises UserError for an MMLU subject that the harness has not."""
    manager = _manager()
    loaded = Loaded({}, {}, {})
    for name, own in rows.tasks.items():
        if name == "mmlu":
            _load_subjects(manager, loaded, rows.path, own)
        else:
            (loaded.tasks[name],) = _tasks(manager, {TASKS[name].definition: own})
            loaded.places[name] = list(range(len(own)))
    return _zero_shot(loaded)


def _load_subjects(manager: TaskManager, loaded: Loaded, path: Path, rows: list[dict]) -> None:
    places: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        if f"{SUBJECT}{row['subject']}" not in manager.all_subtasks:
            known = ", ".join(name.removeprefix(SUBJECT) for name in manager.all_subtasks if name.startswith(SUBJECT))
            raise UserError(
                f"--downstream_data {path}: mmlu row {place}: subject is {row['subject']!r}; give one of {known}"
            )
        places[f"{SUBJECT}{row['subject']}"].append(place)
    loaded.groups["mmlu"] = Group.from_config(GroupConfig(**manager.task_index["mmlu"].cfg))
    for task in _tasks(manager, {part: [rows[place] for place in own] for part, own in places.items()}):
        loaded.tasks[task.task_name] = task
        loaded.groups["mmlu"].add(task)
    loaded.places.update(places)


def _manager() -> TaskManager:
    """An index of the two folders with our tasks; all of the harness's take 5 s."""
    folder = Path(lm_eval.tasks.__file__).parent
    return TaskManager(include_defaults=False, include_path=[folder / "glue", folder / "mmlu" / "default"])


def _tasks(manager: TaskManager, rows: dict[str, list[dict]]) -> list[Task]:
    """Definitions over given rows: those of ``rows``' keys, in that order."""
    members = [{"task": definition, "custom_dataset": _Rows(own)} for definition, own in rows.items()]
    with _without_hints():
        return manager.load({"group": "local", "task": members})["groups"]["local"].get_all_tasks()


class _Rows:
    """What a definition takes in place of its data set: the same rows, whichever split it scores, and no others."""

    def __init__(self, rows: list[dict]):
        self.rows = datasets.Dataset.from_list(rows)

    def __call__(self, **_) -> "_Rows":
        return self

    def __getitem__(self, split: str) -> datasets.Dataset:
        return self.rows

    def __deepcopy__(self, _) -> "_Rows":
        return self


def _zero_shot(loaded: Loaded) -> Loaded:
    """The same; a definition with examples would take them from the very rows that are scored."""
    assert not any(task.config.num_fewshot for task in loaded.tasks.values()), "a definition is not zero-shot"
    return loaded


@contextmanager
def _without_hints() -> Iterator[None]:
    """Leave out what the harness tells authors of definitions: which defaults they rely on."""

    def real(record: logging.LogRecord) -> bool:
        return not any(hint in record.getMessage() for hint in ("is defined, but", "Custom kwargs can be passed"))

    log = logging.getLogger("lm_eval.api.task")
    log.addFilter(real)
    try:
        yield
    finally:
        log.removeFilter(real)
