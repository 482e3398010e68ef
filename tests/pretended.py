"""Several GPUs, pretended on the CPU: tensors carry a device's name, torch functions refuse mixed names as CUDA does.

    with Pretended(): spread(model, 2); …

What a real model spread by accelerate does is imitated: every part moves what it is given to its own device. Tensors
without a name are on the CPU; a single number of the CPU may be mixed with anything, as in torch.
"""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

OF_THE_FIRST = {"copy_", "tolist", "item", "__bool__", "__int__", "__float__", "__index__", "backward", "__get__"}
OF_THE_FIRST |= {"__set__", "__len__", "size", "dim", "stride", "numel", "requires_grad_", "__format__", "new_tensor"}
"""Functions whose result lies where their first tensor lies, whatever else they are given."""


def device_of(tensor: torch.Tensor) -> str:
    """The name of the pretended device."""
    return getattr(tensor, "pretended_device", "cpu")


def on(value, device: str):
    """The same tensors, said to be on the device."""

    def name(leaf):
        if isinstance(leaf, torch.Tensor):
            leaf.pretended_device = device
        return leaf

    return tree_map(name, value)


class Pretended(TorchFunctionMode):
    """While active, every torch function checks where its tensors are and says where its result is."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(function, "__name__", str(function))
        if function == torch.Tensor.device.__get__:
            return torch.device(device_of(args[0]))
        if function == torch.Tensor.is_cuda.__get__:
            return device_of(args[0]) != "cpu"
        if function is torch.autograd.grad:
            sources = [args[1]] if isinstance(args[1], torch.Tensor) else args[1]
            return tuple(on(one, device_of(source)) for one, source in zip(function(*args, **kwargs), sources))
        if name.startswith("_foreach"):  # optimisers group by the true device, which is one here
            return function(*args, **kwargs)
        wanted = kwargs.pop("device", None)
        if name in ("to", "cpu"):
            return _moved(function, name, args, kwargs, wanted)
        device = device_of(args[0]) if name in OF_THE_FIRST else _common(name, args, kwargs)
        if wanted is not None:
            device = str(torch.device(wanted))
        return on(function(*args, **kwargs), device)


def _moved(function, name: str, args: tuple, kwargs: dict, wanted) -> torch.Tensor:
    """``to`` and ``cpu``: another device is another tensor."""
    source, rest = args[0], []
    for one in args[1:]:
        if isinstance(one, torch.device | str):
            wanted = one
        elif isinstance(one, torch.Tensor):
            wanted = device_of(one)
            rest.append(one.dtype)
        else:
            rest.append(one)
    wanted = "cpu" if name == "cpu" else str(torch.device(wanted)) if wanted is not None else device_of(source)
    found = function(source, *rest, **kwargs) if rest or kwargs else source
    return on(found.clone() if found is source and wanted != device_of(source) else found, wanted)


def _common(name: str, args: tuple, kwargs: dict) -> str:
    """The one device of all tensors but single numbers of the CPU, which go with any."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    if name in ("__getitem__", "__setitem__"):
        tensors = _of_indexing(*args)
    bound = [device_of(tensor) for tensor in tensors if tensor.dim() > 0 or device_of(tensor) != "cpu"]
    if len(set(bound)) > 1:
        raise RuntimeError(f"{name}: tensors on {', '.join(bound)}")
    return bound[0] if bound else "cpu"


def _of_indexing(base: torch.Tensor, index, *value) -> list[torch.Tensor]:
    """What must lie together: indices may be on the CPU as well, and a slice takes values from anywhere."""
    indices = [leaf for leaf in tree_leaves(index) if isinstance(leaf, torch.Tensor)]
    values = [one for one in value if isinstance(one, torch.Tensor)] if indices else []
    return [base, *(one for one in indices if device_of(one) != "cpu"), *values]


def spread(model, first_layers: int):
    """Embeddings and the first layers of a Llama on cuda:0, the other layers, norm and head on cuda:1."""
    inner = model.model
    for part in (inner.embed_tokens, inner.rotary_emb, *inner.layers[:first_layers]):
        _place(part, "cuda:0")
    for part in (*inner.layers[first_layers:], inner.norm, model.lm_head):
        _place(part, "cuda:1")
    return model


def _place(part, device: str) -> None:
    for tensor in (*part.parameters(), *part.buffers()):
        on(tensor, device)
    forward = part.forward

    def here(*args, **kwargs):
        def move(leaf):
            return leaf.to(device) if isinstance(leaf, torch.Tensor) else leaf

        return forward(*tree_map(move, args), **tree_map(move, kwargs))

    part.forward = here
