"""What has to be added to the bits of one tensor to get those of another, packed. Pure."""

import zlib

import torch

WHOLE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def difference(of: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
    """Packed bytes (uint8, 1-D) that `added` turns `of` into `to` with; same shape, same dtype.

    The bits are read as whole numbers, of which neighbouring floats have neighbouring ones, so that a difference in
    rounding is ±1. Differences wrap around, which makes them exact for any two bit patterns; they are folded to
    0, 1, 2, … for 0, −1, +1, …, laid out byte by byte (all lowest bytes first) and compressed.
    """
    step = _bits(to) - _bits(of)
    last = 8 * step.element_size() - 1
    folded = (step << 1) ^ (step >> last)
    planes = folded.contiguous().view(torch.uint8).view(-1, step.element_size()).T.contiguous()
    return torch.frombuffer(bytearray(zlib.compress(planes.numpy().tobytes())), dtype=torch.uint8)


def added(of: torch.Tensor, packed: torch.Tensor, sign: int = 1) -> torch.Tensor:
    """The tensor that the packed difference leads to from `of`; with sign −1 the one that it leads to `of` from.

    ValueError where the bytes are not those of a difference.
    """
    whole = WHOLE[of.element_size()]
    try:
        raw = zlib.decompress(packed.numpy().tobytes())
    except zlib.error as error:
        raise ValueError(f"packed difference: {error}") from error
    if len(raw) != of.nbytes:
        raise ValueError(f"packed difference of {len(raw)} bytes for a tensor of {of.nbytes}")
    planes = torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(of.element_size(), -1)
    folded = planes.T.contiguous().view(whole).view(-1)
    step = _shifted(folded) ^ -(folded & 1)
    return (_bits(of) + sign * step).view(of.dtype).view(of.shape)


def _shifted(folded: torch.Tensor) -> torch.Tensor:
    """One to the right without the sign, which torch's shift of signed numbers carries along."""
    most = torch.iinfo(folded.dtype).max
    return (folded >> 1) & most


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().contiguous().view(-1).view(WHOLE[tensor.element_size()])
