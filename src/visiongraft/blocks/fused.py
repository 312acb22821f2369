"""Parts that have taken in what stands beside them, for networks that answer and do not learn."""

import torch
from torch import Tensor, nn

from visiongraft.blocks.primitives import EfficientChannelGate, SqueezeExciteGate
from visiongraft.kernels.convolution import (
    Ending,
    Geometry,
    convolution_packed,
    convolution_plain,
    end,
    packed,
    takes_packed,
)


class FusedConv(nn.Module):
    """act(conv(maps) + other), where both but the convolution may be missing.

    Args:
        layer: the convolution; its padding is zeros.

    What PyTorch would lay out anew at every call is kept: the weights, for the precision at hand.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.register_buffer("weight", layer.weight.detach().clone())
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().clone())
        padding = layer.padding
        assert not isinstance(padding, str)
        self.geometry = Geometry(layer.stride, padding, layer.dilation, layer.groups)  # type: ignore[arg-type]
        self.ending: Ending = "none"
        self._kept: tuple[object, Tensor, Tensor | None] | None = None

    def scale_results(self, scale: Tensor, shift: Tensor) -> None:
        """Scale and shift each channel that goes out, (d,), by numbers of float64."""
        bias = shift if self.bias is None else self.bias.double() * scale + shift
        self._become(self.weight.double() * scale[:, None, None, None], bias)

    def scale_inputs(self, scale: Tensor, shift: Tensor) -> None:
        """Scale and shift each channel that comes in, (c,), which is right where nothing is padded."""
        groups = self.geometry.groups
        rows = self.weight.double().unflatten(0, (groups, -1))  # g d/g c/g rows columns
        scales, shifts = (each.double().view(groups, 1, -1, 1, 1) for each in (scale, shift))
        bias = (rows * shifts).sum((2, 3, 4)).flatten()
        bias = bias if self.bias is None else bias + self.bias.double()
        self._become((rows * scales).flatten(0, 1), bias)

    def _become(self, weight: Tensor, bias: Tensor) -> None:
        like = self.weight
        self.weight = torch.empty_like(like).copy_(weight)
        self.register_buffer("bias", bias.to(like.dtype))

    def forward(self, maps: Tensor, other: Tensor | None = None) -> Tensor:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else maps.dtype
        if not takes_packed(maps, dtype):
            return convolution_plain(maps, self.weight, self.bias, self.geometry, ending=self.ending, other=other)
        maps = maps.to(dtype)
        other = None if other is None else other.to(dtype)
        weight, bias = self._laid_out(maps)
        return convolution_packed(maps, weight, bias, self.geometry, ending=self.ending, other=other)

    def _laid_out(self, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        version = None if self.weight.is_inference() else self.weight._version  # they do not count their changes
        key = (maps.dtype, self.weight.data_ptr(), self.weight.dtype, version)
        if self._kept is None or self._kept[0] != key:
            weight = packed(self.weight.to(maps.dtype), self.geometry, maps.shape)
            self._kept = key, weight, None if self.bias is None else self.bias.to(maps.dtype)
        return self._kept[1:]

    def __getstate__(self) -> dict[str, object]:
        """Give all but what was laid out, which cannot be copied."""
        return {**self.__dict__, "_kept": None}

    def extra_repr(self) -> str:
        wide, narrow = self.weight.shape[0], self.weight.shape[1] * self.geometry.groups
        return f"{narrow}, {wide}, kernel_size={tuple(self.weight.shape[2:])}, ending={self.ending!r}"


class Affine(nn.Module):
    """act(maps * scale + shift), each number for a channel: a normalisation that no convolution could take in.

    Args:
        scale: (c,).
        shift: (c,).
        overwrites: whether the maps are used by nobody else, and may be written over.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor, *, overwrites: bool) -> None:
        super().__init__()
        self.register_buffer("scale", scale[:, None, None])
        self.register_buffer("shift", shift[:, None, None])
        self.overwrites = overwrites
        self.ending: Ending = "none"

    def forward(self, maps: Tensor) -> Tensor:
        over = maps if self.overwrites and _nobody_learns(maps) else None
        scale, shift = self.scale.to(maps.dtype), self.shift.to(maps.dtype)
        return end(torch.addcmul(shift, maps, scale, out=over), self.ending)

    def extra_repr(self) -> str:
        return f"{len(self.scale)}, ending={self.ending!r}"


class Gated(nn.Module):
    """act(maps * gate * scale + shift), where the maps decide the gate.

    Args:
        gate: whose gate it is.
        overwrites: as in `Affine`.
    """

    scale: Tensor | None
    shift: Tensor | None

    def __init__(self, gate: SqueezeExciteGate | EfficientChannelGate, *, overwrites: bool) -> None:
        super().__init__()
        self.inside = gate
        self.register_buffer("scale", None)
        self.register_buffer("shift", None)
        self.overwrites = overwrites
        self.ending: Ending = "none"

    def take_in(self, scale: Tensor, shift: Tensor) -> None:
        """Scale and shift behind the gate, by a number for each channel."""
        self.register_buffer("scale", scale[:, None, None].contiguous())
        self.register_buffer("shift", shift[:, None, None].contiguous())

    def forward(self, maps: Tensor) -> Tensor:
        gate = self.inside.gate(maps)
        over = maps if self.overwrites and _nobody_learns(maps) else None
        if self.scale is None or self.shift is None:
            return end(torch.mul(maps, gate, out=over), self.ending)
        scale, shift = self.scale.to(maps.dtype), self.shift.to(maps.dtype)
        return end(torch.addcmul(shift, maps, gate * scale, out=over), self.ending)


class Activated(nn.Module):
    """An activation that writes over what it is given, which nobody else uses."""

    def __init__(self, ending: Ending) -> None:
        super().__init__()
        self.ending = ending

    def forward(self, maps: Tensor) -> Tensor:
        return end(maps, self.ending)

    def extra_repr(self) -> str:
        return repr(self.ending)


class ScaledSum(nn.Module):
    """other + maps * scale, with a number for each channel.

    Args:
        scale: (c, 1, 1).
        overwrites: as in `Affine`.
    """

    scale: Tensor

    def __init__(self, scale: Tensor, *, overwrites: bool) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.overwrites = overwrites

    def forward(self, other: Tensor, maps: Tensor) -> Tensor:
        over = maps if self.overwrites and _nobody_learns(maps) and maps.dtype == other.dtype else None
        return torch.addcmul(other, maps, self.scale.to(maps.dtype), out=over)


class InParts(nn.Module):
    """A part of a network that sees a few images at a time where all of them would make large maps.

    Memory for a large map is new at every call: the system hands it out page by page, which takes longer than to fill
    it. A smaller map takes the place of the one before.

    Args:
        inside: the part; images do not see one another in it.
    """

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside
        self.widest = _widest(inside)

    def forward(self, maps: Tensor) -> Tensor:
        if maps.device.type != "cpu" or _is_recorded() or torch.is_grad_enabled():
            return self.inside(maps)
        batch, _, height, width = maps.shape
        most = int(LARGE_MAP / (self.widest * height * width * maps.element_size()))
        if most >= batch:
            return self.inside(maps)
        return torch.cat([self.inside(part) for part in maps.split(max(most, 1))])


LARGE_MAP = 24 * 2**20
"""Bytes from which on a map is not made in one piece. glibc keeps memory of up to 32 MiB for the next who asks."""


def _widest(inside: nn.Module) -> float:
    """Give the most numbers that a convolution makes of one cell that comes in, or more than that."""
    found, shrunk = 1.0, 1.0
    for part in inside.modules():
        if isinstance(part, FusedConv):
            cells = shrunk / (part.geometry.stride[0] * part.geometry.stride[1])
            shrunk = cells if isinstance(inside, nn.Sequential) else 1.0  # where one is behind the other
            found = max(found, len(part.weight) * cells)
    return found


def _nobody_learns(maps: Tensor) -> bool:
    """Tell whether maps may be written over: a graph that is recorded decides itself what it overwrites."""
    return not _is_recorded() and not (torch.is_grad_enabled() and maps.requires_grad)


def _is_recorded() -> bool:
    return torch.compiler.is_compiling() or bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]
