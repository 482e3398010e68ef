"""The floors: a table of who may import whom, and what walks a tree of Python files to hold it."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NOT_OURS = {"tests", "data", "results", "hparams", "sh"}

TENSORS = {"torch", "numpy", "scipy"}
PLUMBING = TENSORS | {
    "transformers",
    "tokenizers",
    "safetensors",
    "accelerate",
    "gguf",
    "huggingface_hub",
    "pydantic",
    "pydantic_core",
    "tqdm",
    "filelock",
    "jinja2",
}
FILE_FORMATS = {"datasets", "huggingface_hub", "pyarrow", "tqdm"}
ANYTHING = None


@dataclass(frozen=True)
class Floor:
    """What a member may import: `ours`, prefixes of this repository's modules, less `never`; `others`, packages."""

    name: str
    ours: tuple[str, ...]
    others: set[str] | None
    never: tuple[str, ...] = ()

    def allows(self, name: str) -> bool:
        """Whether a module of this repository may be imported."""
        return any(within(name, prefix) for prefix in self.ours) and not any(within(name, p) for p in self.never)


PURE = (*("util.linalg", "util.low_rank", "util.bits", "util.moments", "util.request", "util.writing", "util.errors"),)
EDITING = "util.editing"


def floor(module: str, package: str) -> Floor:
    """The rules for a module; `package` is the folder it lies in. What is not named here is a method's package."""
    if module in PURE or module == "experiments.measuring.metrics" or module.split(".")[-1] == "solve":
        return Floor("floor 0", PURE, TENSORS)
    top = module.split(".")[0]
    if within(module, EDITING):
        return Floor("floor 2", ("util",), PLUMBING)
    if top == "util":
        return Floor("floor 1", ("util",), PLUMBING, never=(EDITING,))
    if top == "dsets":
        ours = ("util.request", "util.writing", "util.paths", "util.errors", "util.files", "util.packages", "dsets")
        return Floor("dsets", ours, FILE_FORMATS)
    if top == "experiments":
        return _experiments_floor(module)
    if module == "zerounlearn.unlearning":
        return Floor("the way in", ("util", "zerounlearn", "baselines", "dsets"), PLUMBING)
    return Floor("a method", ("util", package), PLUMBING)


MEASURING = tuple(
    f"experiments.{room}"
    for room in ("measuring", "tracing", "geometry", "downstream", "pretraining", "benchmarking", "auditing")
)
RUNNING = tuple(f"experiments.{room}" for room in ("running", "requests", "reporting"))
BELOW_EXPERIMENTS = ("util", "dsets", "baselines", "zerounlearn")


def _experiments_floor(module: str) -> Floor:
    """Rooms import no script and nothing above them; a script imports rooms and, where it hands work on, a script."""
    if any(within(module, room) for room in MEASURING):
        return Floor("floor 4", (*BELOW_EXPERIMENTS, *MEASURING), ANYTHING)
    if any(within(module, room) for room in RUNNING):
        return Floor("floor 5", (*BELOW_EXPERIMENTS, *MEASURING, *RUNNING), ANYTHING)
    return Floor("floor 6", ("",), ANYTHING)


def modules(at: Path) -> dict[str, Path]:
    """Dotted name → file, for every Python file below the folder that is neither a test nor an environment."""
    found = {}
    for path in sorted(at.rglob("*.py")):
        parts = path.relative_to(at).with_suffix("").parts
        top = at / parts[0]
        if parts[0].startswith(".") or parts[0] in NOT_OURS or (top / "pyvenv.cfg").exists():
            continue
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(module: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function; `from package import module` is the module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(node, module, path)
            for alias in node.names:
                yield f"{source}.{alias.name}" if f"{source}.{alias.name}" in known else source


def _absolute(node: ast.ImportFrom, module: str, path: Path) -> str:
    if not node.level:
        return node.module
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def within(name: str, prefix: str) -> bool:
    return not prefix or name == prefix or name.startswith(prefix + ".")


def breaches(at: Path) -> list[str]:
    """One line per import that the table forbids."""
    known = modules(at)
    ours = {name.split(".")[0] for name in known}
    found = []
    for module, path in known.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        rules = floor(module, package)
        for name in imports(module, path, known):
            top = name.split(".")[0]
            if top in ours:
                allowed = rules.allows(name)
            else:
                allowed = rules.others is ANYTHING or top in rules.others or top in sys.stdlib_module_names
            if not allowed:
                found.append(f"{module} ({rules.name}) imports {name}")
    return found


def cycle(at: Path) -> list[str]:
    """Modules that import one another in a circle, or nothing."""
    known = modules(at)
    graph = {module: {name for name in imports(module, path, known) if name in known} for module, path in known.items()}
    done: set[str] = set()

    def search(module: str, trail: list[str]) -> list[str]:
        if module in trail:
            return [*trail[trail.index(module) :], module]
        if module in done:
            return []
        done.add(module)
        circles = (search(name, [*trail, module]) for name in sorted(graph[module] - {module}))
        return next((circle for circle in circles if circle), [])

    return next((circle for circle in (search(module, []) for module in sorted(graph)) if circle), [])


OPENING = {
    *(
        "open",
        "load",
        "loads",
        "safe_open",
        "read_text",
        "read_bytes",
        "read_csv",
        "write_text",
        "write_bytes",
        "mkdir",
    ),
    *("makedirs", "unlink", "urlopen", "urlretrieve", "from_pretrained", "from_json", "load_dataset", "load_corpus"),
    *("basicConfig", "manual_seed", "seed", "set_num_threads", "getenv"),
}
"""Calls that read, write or set something for the whole process."""

REMEMBERING = {"cache", "lru_cache"}


def at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """Nodes that run when the module is imported: no function's body, no lambda, no ``if __name__ == "__main__"``."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'":
            continue
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pending += [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        elif not isinstance(node, ast.Lambda):
            pending += ast.iter_child_nodes(node)


def misdeeds(path: Path) -> list[str]:
    """What a module opens, sets or starts to remember by being imported; `global` statements and star imports too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [
        f"{path}:{node.lineno} calls {_called(node)} at import time"
        for node in at_import(tree)
        if isinstance(node, ast.Call) and _called(node) in OPENING
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            found.append(f"{path}:{node.lineno} has module-level state: global {', '.join(node.names)}")
        elif isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            found.append(f"{path}:{node.lineno} imports * from {node.module}")
        elif isinstance(node, ast.FunctionDef) and REMEMBERING & {_called(use) for use in node.decorator_list}:
            found.append(f"{path}:{node.lineno} remembers the results of {node.name} at module level")
    return found


def _called(node: ast.AST) -> str:
    target = node.func if isinstance(node, ast.Call) else node
    return getattr(target, "attr", None) or getattr(target, "id", "")


def opens_files(path: Path) -> list[str]:
    """Floor 0 touches no file, not even inside a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {"os", "io", "pathlib", "shutil", "tempfile"}
    used = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    touched = [alias.name for node in used if isinstance(node, ast.Import) for alias in node.names] + [
        node.module for node in used if isinstance(node, ast.ImportFrom) and node.module
    ]
    return [f"{path} imports {name}" for name in touched if name.split(".")[0] in names]
