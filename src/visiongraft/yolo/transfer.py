"""The weights of one YOLO model for another one, whose layers are others in part."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from visiongraft.errors import WeightsError, counted, printable
from visiongraft.yolo.door import is_yolo, module_of, read_checkpoint
from visiongraft.yolo.layers import MixerLayer
from visiongraft.yolo.matching import layer_of, match


@dataclass(frozen=True)
class Transfer:
    """What became of the weights.

    Args:
        source: where they came from, in words.
        kept: tensors of the model that were filled.
        new: names of those that were not, and are as they were.
        left: names of those that nobody took.
        share: of all numbers of the model, how many were filled, from 0 to 1.
        fresh: for each layer that has new tensors, its number and what it is.
    """

    source: str
    kept: int
    new: tuple[str, ...]
    left: tuple[str, ...]
    share: float
    fresh: tuple[str, ...]

    def __str__(self) -> str:
        """Give it in two lines."""
        total = self.kept + len(self.new)
        new = f"{counted(len(self.new), 'tensor')} new, in {', '.join(self.fresh)}" if self.new else "none new"
        return (
            f"Kept {self.kept:,} of {counted(total, 'tensor')}, {self.share:.2%} of their numbers, from {self.source}:"
            f" {new}.\n{counted(len(self.left), 'tensor')} of {self.source} left over."
        )


@torch.no_grad()
def transfer(model: object, weights: object) -> Transfer:
    """Fill a YOLO model with the weights of another one, layer by layer, by names inside the layers and by shapes.

    How layers are numbered does not count, so one more layer in the middle costs nothing but itself. `model.train` of
    Ultralytics then starts from what was filled.

    Args:
        model: what `ultralytics.YOLO` made, or its network. It is changed.
        weights: a file (.pt of Ultralytics, of which nothing is run, or .safetensors), or such a model, or its state.

    Returns:
        What was kept and what is new, which can be printed.

    Raises:
        WeightsError: if the file cannot be read, or nothing of it fits. The model is as it was.
    """
    network = module_of(model)
    source, state, names = _read(weights)
    wanted = network.state_dict()
    found = match(wanted, state)
    if not found.kept:
        raise WeightsError(
            f"Nothing of {source} fits this model: no layer of its {counted(len(state), 'tensor')} has a tensor of the"
            " same name and shape. Give weights of a YOLO model of the same size letter."
        )
    for name, other in found.kept.items():
        wanted[name].copy_(state[other])
    sizes = {name: each.numel() for name, each in wanted.items()}
    share = sum(sizes[name] for name in found.kept) / sum(sizes.values())
    _adopt(model, network, names, whole=not [x for x in found.new if layer_of(x) == _last(network)])
    return Transfer(source, len(found.kept), found.new, found.left, share, _fresh(network, found.new))


def _read(weights: object) -> tuple[str, Mapping[str, Tensor], object]:
    """Give what weights are called, their state, and the names of the classes if they are known."""
    if isinstance(weights, str | Path):
        return _read_file(Path(weights))
    if isinstance(weights, Mapping):
        return "these weights", _state(weights, "these weights"), None
    network = module_of(weights)
    return f"this {type(network).__name__}", network.state_dict(), getattr(network, "names", None)


def _read_file(path: Path) -> tuple[str, Mapping[str, Tensor], object]:
    name = printable(path.name)
    if not path.is_file():
        raise WeightsError(
            f"There is no file {printable(str(path))}. It is not fetched: put it there, or name another."
        )
    if path.suffix == ".safetensors":
        try:
            return name, load_file(path), None
        except SafetensorError as error:
            raise WeightsError(f"{name} is no safetensors file, or a damaged one: {error}") from error
    if path.suffix != ".pt":
        raise WeightsError(f"{name} is of no known kind. Give a .pt of Ultralytics, or a .safetensors.")
    found = read_checkpoint(path)
    inside = found.get("ema") or found.get("model")
    if isinstance(inside, nn.Module):
        return name, inside.float().state_dict(), getattr(inside, "names", None)
    return name, _state(inside if isinstance(inside, Mapping) else found, name), None


def _state(found: Mapping[Any, Any], called: str) -> Mapping[str, Tensor]:
    state = {key: each for key, each in found.items() if isinstance(key, str) and isinstance(each, Tensor)}
    if not state:
        raise WeightsError(f"There are no tensors in {called}. Give a checkpoint of a YOLO model.")
    return state


def _adopt(model: object, network: nn.Module, names: object, *, whole: bool) -> None:
    """Let a model of Ultralytics know that it has weights, so that its training starts from them.

    Args:
        model: what was given.
        network: its network.
        names: of the classes that the weights know.
        whole: whether its last layer was filled wholly, and so speaks of these classes.
    """
    if whole and isinstance(names, dict) and len(names) == len(getattr(network, "names", ())):
        network.names = dict(names)  # type: ignore[assignment]  # an attribute of Ultralytics' own
    if is_yolo(model):
        model.ckpt = {"transferred": True}  # type: ignore[attr-defined]  # else its `train` builds a model anew
        model.predictor = None  # type: ignore[attr-defined]  # it may hold the network folded


def _last(network: nn.Module) -> int:
    return max((layer_of(name) or 0 for name in network.state_dict()), default=0)


def _fresh(network: nn.Module, new: tuple[str, ...]) -> tuple[str, ...]:
    """Name the layers that new tensors are in."""
    modules = dict(network.named_modules())
    numbers = sorted({number for name in new if (number := layer_of(name)) is not None})
    layers = {number: modules.get(f"model.{number}") for number in numbers}
    return tuple(
        f"{number} ({each.spelt if isinstance(each, MixerLayer) else type(each).__name__})"
        for number, each in layers.items()
    )
