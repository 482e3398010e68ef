"""How much memory tensors take at a time, counted without a GPU."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Peak(TorchDispatchMode):
    """most: the largest number of bytes held at a time by what operations made while this was active."""

    def __init__(self):
        super().__init__()
        self.held = self.most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        given = {one.untyped_storage()._cdata for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)}
        for one in tree_leaves(found):
            if isinstance(one, torch.Tensor) and one.untyped_storage()._cdata not in given:
                self.held += one.nbytes
                weakref.finalize(one.untyped_storage(), self.free, one.nbytes)
        self.most = max(self.most, self.held)
        return found

    def free(self, count):
        self.held -= count
