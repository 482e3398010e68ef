"""A disk without room, made by a limit on the size of files: an OSError from whatever writes, and nothing is left."""

import errno
import resource
from contextlib import contextmanager

import pytest
import torch

from experiments.requests.unlearning.model_folder import write_model
from tests.experiments.requests.small_edit import patch_of
from tests.tiny import tiny_llama
from util.errors import UserError
from util.tensor_files import tensors_atomically, write_tensors


@contextmanager
def no_room(size: int):
    """No file of this process grows beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_safetensors_says_it_as_the_system_does(tmp_path):
    with pytest.raises(OSError, match="large") as found, no_room(1000):
        write_tensors(tmp_path / "x.safetensors", {"x": torch.zeros(1000)}, {})
    assert found.value.errno == errno.EFBIG and not any(tmp_path.iterdir())


@pytest.mark.parametrize("size", [200, 3000])
def test_a_model_and_a_patch_are_refused_in_one_line(tmp_path, size):
    """The first limit stops the configuration, the second the weights."""
    model, tokenizer = tiny_llama()
    patch = patch_of(model)
    with no_room(size):
        with pytest.raises(UserError, match="--save_model .*out cannot be written .File too large"):
            write_model(model, tokenizer, tmp_path / "out", torch.float32, "# card")
        with pytest.raises(UserError, match="p.safetensors cannot be written .File too large.; nothing was left there"):
            patch.write(tmp_path / "p.safetensors")
    assert not any(tmp_path.iterdir())


def test_what_is_wrong_with_the_tensors_stays_a_bug(tmp_path):
    with pytest.raises(RuntimeError, match="shared"), tensors_atomically(tmp_path / "x"):
        raise RuntimeError("shared memory")
    assert not any(tmp_path.iterdir())
