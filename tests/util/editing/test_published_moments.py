"""Second moments in the field's .npz files: what is taken, and what is refused."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import TINY
from tests.util.editing.test_statistics import make, names
from util.editing.published_moments import by_module, compare, import_moments, read_published
from util.errors import UserError

SIZE = 4


def published(path: Path, sum_II, count=7, prefix="mom2.", **more) -> Path:
    """A file as their SecondMoment writes it."""
    held = {"constructor": np.array("util.runningstats.SecondMoment()"), "count": np.array(count), "mom2": sum_II}
    np.savez(path, **{prefix + key: value for key, value in held.items()}, **more)
    return path


def sum_of(keys_TI: torch.Tensor) -> np.ndarray:
    return (keys_TI.T @ keys_TI).numpy()


@pytest.fixture
def keys_TI() -> torch.Tensor:
    return torch.randn(9, SIZE, generator=torch.Generator().manual_seed(0))


def test_the_file_holds_a_sum_and_a_count(tmp_path, keys_TI):
    found = read_published(published(tmp_path / "x.npz", sum_of(keys_TI), 9, sample_size=np.array(3)), SIZE)
    torch.testing.assert_close(found.moment_II, keys_TI.T @ keys_TI / 9)
    assert (found.count, found.documents) == (9, 3)
    assert read_published(published(tmp_path / "y.npz", sum_of(keys_TI), prefix=""), SIZE).documents is None


class Planted:
    """What runs when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a pickled object was read",)


@pytest.mark.parametrize(
    ("held", "complaint"),
    [
        ({"sum_II": np.eye(3, dtype=np.float32)}, r"holds \(3, 3\), the module has 4 inputs"),
        ({"sum_II": np.eye(SIZE, dtype=np.float32) * np.nan}, "not finite or empty"),
        ({"sum_II": np.eye(SIZE, dtype=np.float32), "count": 0}, "over 0 tokens that is not finite or empty"),
        ({"sum_II": np.triu(np.ones((SIZE, SIZE), np.float32))}, "no sum of k kᵀ"),
        ({"sum_II": -np.eye(SIZE, dtype=np.float32)}, "no sum of k kᵀ"),
        ({"sum_II": np.eye(SIZE, dtype=np.int64)}, "mom2 is int64"),
        ({"sum_II": np.eye(SIZE, dtype=np.float32), "count": 1.5}, "count is float64"),
        ({"sum_II": np.array([Planted()], dtype=object)}, "cannot be read .*allow_pickle"),
        ({"sum_II": np.eye(SIZE, dtype=np.float32), "prefix": "other."}, "it must hold mom2.mom2 and mom2.count"),
    ],
)
def test_what_is_no_second_moment(tmp_path, held, complaint):
    path = published(tmp_path / "x.npz", **held)
    with pytest.raises(UserError, match=complaint) as error:
        read_published(path, SIZE)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_what_is_no_npz_file(tmp_path):
    path = tmp_path / "x.npz"
    for content in (b"", b"text", pickle.dumps(Planted())):
        path.write_bytes(content)
        with pytest.raises(UserError, match="is no .npz file"):
            read_published(path, SIZE)
    with pytest.raises(UserError, match="is no .npz file"):
        read_published(tmp_path / "absent.npz", SIZE)
    content = published(path, np.eye(SIZE, dtype=np.float32)).read_bytes()
    middle = content.index(np.eye(SIZE, dtype=np.float32).tobytes())
    path.write_bytes(content[:middle] + b"\xff" + content[middle + 1 :])
    with pytest.raises(UserError, match="cannot be read .*fetch it again"):
        read_published(path, SIZE)


def test_likeness(keys_TI):
    moment_II = (keys_TI.T @ keys_TI) / 9
    same = compare(moment_II, moment_II)
    assert (same.scale, same.trace, same.distance, same.close) == (1, 1, 0, True)
    assert same.pattern == pytest.approx(1)
    double = compare(2 * moment_II, moment_II)
    assert (double.scale, double.trace, double.distance) == pytest.approx((2, 2, 1)) and double.close
    assert not compare(moment_II / 90, moment_II).close
    turned = torch.linspace(1, 9, 8).diag()
    assert not compare(turned.flip(0, 1), turned).close


def test_one_huge_or_silent_input_decides_nothing():
    base = torch.linspace(1, 9, 8)
    for value in (1e6, 0.0):
        changed = base.clone()
        changed[3] = value
        likeness = compare(changed.diag(), base.diag())
        assert likeness.scale == 1 and np.isfinite([likeness.pattern, likeness.trace, likeness.distance]).all()


def files_of(folder: Path, moments, factor: float = 1) -> dict[str, Path]:
    """The field's file of every module, as its own code would have measured it on the same texts."""
    count = 53
    return {
        name: published(
            folder / f"{name}_float32_mom2_100000.npz",
            (factor * count * moment).float().numpy(),
            count,
            sample_size=np.array(100000),
        )
        for name, moment in moments.items()
    }


def test_an_imported_moment_is_found_where_a_run_looks(tmp_path, family, monkeypatch):
    model, tok = TINY[family]()
    theirs = dict(make(model, tok, family))
    paths = files_of(tmp_path, theirs, 1.5)
    likeness = import_moments(make(model, tok, family, cache_dir=tmp_path / "stats"), paths)
    assert all(one.scale == pytest.approx(1.5) and one.close for one in likeness.values())
    found = make(model, tok, family, cache_dir=tmp_path / "stats")
    monkeypatch.setattr(type(found), "_measure", None)
    for name in names(family):
        torch.testing.assert_close(found[name], 1.5 * theirs[name], atol=1e-6, rtol=1e-5)
        facts = found.facts()[name]
        assert (facts["imported"], facts["count"], facts["documents"]) == (paths[name].name, 53, 100000)
        assert facts["sha256"] == hashlib.sha256(paths[name].read_bytes()).hexdigest()
        assert facts["trace"] == pytest.approx(1.5)
    with pytest.raises(UserError, match="has the moment of .* already; remove it"):
        import_moments(found, paths)


@pytest.mark.parametrize("fault", ["layer", "model", "mean"])
def test_a_moment_of_something_else_is_refused(tmp_path, family, fault):
    model, tok = TINY[family]()
    theirs = dict(make(model, tok, family))
    if fault == "layer":
        theirs = dict(zip(theirs, reversed(theirs.values()), strict=True))
    if fault == "model":
        order = torch.randperm(44, generator=torch.Generator().manual_seed(0))
        theirs = {name: moment[order][:, order] for name, moment in theirs.items()}
    paths = files_of(tmp_path, theirs, 1 / 53 if fault == "mean" else 1)
    moments = make(model, tok, family, cache_dir=tmp_path / "stats")
    with pytest.raises(UserError, match=rf"is not of {names(family)[0]} of this model.*name the file of that layer"):
        import_moments(moments, paths)
    assert moments.facts() == {}


def test_files_belong_to_the_modules_that_they_name(tmp_path):
    first, tenth = "layers.1.down", "layers.10.down"
    paths = [Path(f"a/{name}_float32_mom2_100000.npz") for name in (tenth, first)]
    assert by_module(paths, [first, tenth]) == {first: paths[1], tenth: paths[0]}
    assert by_module([Path("renamed.npz")], [first]) == {first: Path("renamed.npz")}
    with pytest.raises(UserError, match="no file's name begins with layers.10.down_"):
        by_module(paths[1:], [first, tenth])
    with pytest.raises(UserError, match=r"layers.10.down_float32_mom2_100000.npz is of none of layers.1.down"):
        by_module(paths, [first])
