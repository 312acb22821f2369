"""The one file that knows Ultralytics: what its model files may name, which of them are ours, and what stays offline.

Ultralytics is under AGPL-3.0. It is the user's own, is imported as it is, and no line of it is here.

Functions of it are wrapped while this module is loaded: the one that builds a model from the rows of its file, the one
that reads a model file, and those that fetch. Nothing in its folder is changed.
"""

import copy
import os
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from visiongraft.errors import MissingExtra, SpecError, WeightsError, printable
from visiongraft.kernels.types import Grid
from visiongraft.surgery.planting import Inserted
from visiongraft.yolo.carried import Carried
from visiongraft.yolo.derive import derived
from visiongraft.yolo.layers import MixerLayer, Row, check_row, read_row
from visiongraft.yolo.shipped import read_shipped

OFFLINE, INSTALLS = "YOLO_OFFLINE", "YOLO_AUTOINSTALL"
"""What Ultralytics reads from the environment, when it is imported. Its processes of several devices inherit them."""

os.environ.setdefault(OFFLINE, "true")
os.environ.setdefault(INSTALLS, "false")

_open, _save = Image.open, torch.save

try:
    from ultralytics import utils
    from ultralytics.cfg import entrypoint
    from ultralytics.engine.model import Model
    from ultralytics.nn import tasks
    from ultralytics.utils import callbacks, downloads
except ModuleNotFoundError as error:
    if str(error.name).partition(".")[0] != "ultralytics":
        raise
    raise MissingExtra(
        "visiongraft.yolo needs Ultralytics 8.4.190 or newer, which is under AGPL-3.0. Install it with: pip install"
        " 'visiongraft[yolo]'"
    ) from None
except ImportError as error:
    if "libGL" not in str(error):
        raise
    raise MissingExtra(
        f"OpenCV, which Ultralytics needs, cannot be loaded: {error}. Install the system's libGL, on Debian by: apt"
        " install libgl1"
    ) from None
finally:
    # Importing it exchanges both for functions of its own, one of which would install a package for a broken image.
    Image.open, torch.save = _open, _save

__all__ = ["entrypoint", "is_yolo", "module_of", "read_checkpoint", "take_over"]

_LAYER = "visiongraft_mixer"
"""What Ultralytics finds our layer under, among the names of its own."""

_NATIVE = (640, 640)
"""Height and width in pixels that position tables are stored for: what Ultralytics trains at by default."""

_parse_model = tasks.parse_model
_yaml_model_load = tasks.yaml_model_load
_is_url = downloads.is_url
_safe_download = downloads.safe_download


@wraps(_parse_model)
def parse_model(d: dict[str, Any], ch: int, verbose: bool = True) -> tuple[nn.Sequential, list[int]]:  # noqa: FBT001, FBT002 - its own signature
    """Build a model from its file, in which rows may name mixers of ours."""
    built: tuple[nn.Sequential, list[int]] = _parse_model(with_sites(d, ch), ch, verbose)
    return built


@wraps(_yaml_model_load)
def yaml_model_load(path: str | Path) -> dict[str, Any]:
    """Read a model file: one of Ultralytics', of the user's, or by its name alone one of ours."""
    document = read_shipped(path) or _yaml_model_load(path)
    if "base" not in document:
        return document
    base = yaml_model_load(str(document["base"]))
    said = {"scale": tasks.guess_model_scale(path) or base["scale"], "yaml_file": str(path)}
    return derived(base, {**document, **said}, called=Path(path).name)


def with_sites(document: dict[str, Any], channels: int) -> dict[str, Any]:
    """Give a model file whose rows of ours say all that they need: the mixer, its width and its grid.

    Args:
        document: the model file.
        channels: of the images.

    Raises:
        SpecError: if a row cannot be.
    """
    rows = [*document["backbone"], *document["head"]]
    read = (read_row(index, row, vars(tasks)) for index, row in enumerate(rows))
    ours = {each.index: each for each in read if each is not None}
    if not ours:
        return document
    places = _rehearsed(document, rows, ours, channels)
    for index, row in ours.items():
        width, grid = places[index]
        check_row(row, width, grid)
        rows[index] = [row.source, rows[index][1], _LAYER, [row.mixer, width, grid]]
    cut = len(document["backbone"])
    return {**document, "backbone": rows[:cut], "head": rows[cut:]}


def _rehearsed(
    document: Mapping[str, Any], rows: list[Any], ours: Mapping[int, Row], channels: int
) -> dict[int, tuple[int, Grid]]:
    """Find the width and the grid of the maps that come to our rows, on the meta device and without our mixers.

    Raises:
        SpecError: if the other rows cannot be built or run.
    """
    last = max(ours)
    plain = [[row[0], row[1], "nn.Identity", []] if at in ours else row for at, row in enumerate(rows[: last + 1])]
    scale = document.get("scale") or next(iter(document.get("scales") or ()), None)
    short = copy.deepcopy({**document, "backbone": plain, "head": [], "scale": scale})
    gave: list[Tensor] = []
    found: dict[int, tuple[int, Grid]] = {}
    maps = torch.zeros(1, channels, *_NATIVE, device="meta")
    try:
        with torch.device("meta"), torch.no_grad():
            for layer in _parse_model(short, channels, verbose=False)[0].eval():
                sources = layer.f if isinstance(layer.f, list) else [layer.f]
                given = [maps if each == -1 else gave[each] for each in sources]
                maps = layer(given if isinstance(layer.f, list) else given[0])
                gave.append(maps)
                if layer.i in ours:
                    found[layer.i] = (maps.shape[1], (maps.shape[2], maps.shape[3]))
    except Exception as error:  # whatever the layers of others raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
        raise SpecError(f"The model file cannot be followed up to its row {last}. {reason}") from error
    return found


def is_yolo(model: object) -> bool:
    """Tell whether a value is what `ultralytics.YOLO` makes."""
    return isinstance(model, Model)


def module_of(model: object) -> nn.Module:
    """Give the network of what `ultralytics.YOLO` makes, or of a network itself.

    Raises:
        WeightsError: if it has none, as an exported one.
    """
    network = model.model if isinstance(model, Model) else model
    if not isinstance(network, nn.Module):
        raise WeightsError(
            f"A YOLO model of PyTorch is wanted, and this is {network!r}. Give YOLO('yolo11n-mhsa.yaml')."
        )
    return network


def read_checkpoint(path: Path) -> Mapping[str, Any]:
    """Read a checkpoint of Ultralytics, without running what it may hold: classes other than known ones are refused.

    Raises:
        WeightsError: if it cannot be read so.
    """
    try:
        checkpoint: Mapping[str, Any] = tasks.torch_safe_load(str(path), safe_only=True)[0]
    except Exception as error:  # it may be any file
        raise WeightsError(
            f"{printable(path.name)} cannot be read as weights without running code of it. If you trust it, give"
            " YOLO(FILE) in its place."
        ) from error
    return checkpoint


def take_over() -> None:
    """Let Ultralytics know our layers and files, in this process and in those that it starts, and keep it offline."""
    setattr(tasks, _LAYER, MixerLayer)
    _exchange(_parse_model, parse_model)
    _exchange(_yaml_model_load, yaml_model_load)
    callbacks.default_callbacks["on_pretrain_routine_start"].append(Carried())
    torch.serialization.add_safe_globals([*_modules_of_ours()])
    if utils.env_bool(OFFLINE):
        _keep_offline()


def _modules_of_ours() -> list[type]:
    """Give the classes that our layers consist of: files that hold them and nothing else may be read as safe."""
    homes = [each for name, each in sys.modules.items() if name.startswith("visiongraft.blocks.")]
    parts = {each for home in homes for each in vars(home).values() if isinstance(each, type)}
    ours = (each for each in parts if issubclass(each, nn.Module) and each.__module__.startswith("visiongraft."))
    return [MixerLayer, Inserted, *ours]


def _keep_offline() -> None:
    """Let it ask for nothing, even if it was imported before this module."""
    for module in _loaded():
        for name in ("ONLINE", *(() if utils.env_bool(INSTALLS) else ("AUTOINSTALL",))):
            if name in vars(module):
                setattr(module, name, False)
    reports = sys.modules.get("ultralytics.utils.events")
    if reports is not None:
        reports.events.enabled = False
    _exchange(_is_url, is_url)
    _exchange(_safe_download, safe_download)
    _exchange(downloads.get_github_assets, get_github_assets)


def is_url(url: str | Path, check: bool = False) -> bool:  # noqa: FBT001, FBT002 - its own signature
    """Tell whether something is written as an address. Whether it is there is not asked."""
    return not check and bool(_is_url(url))


@wraps(_safe_download)
def safe_download(url: str | Path, *others: Any, **more: Any) -> Path:  # noqa: ANN401 - its own signature
    """Unpack a file of this machine; fetch none.

    Raises:
        ConnectionError: if one would have to be fetched.
    """
    if "://" not in str(url) and Path(url).is_file():
        unpacked: Path = _safe_download(url, *others, **more)
        return unpacked
    raise ConnectionError(
        f"visiongraft.yolo keeps Ultralytics offline, and it wants {url}. Put that file where it looks for it, or set"
        f" {OFFLINE}=false before Python starts, which lets it fetch and report."
    )


def get_github_assets(*_: object, **__: object) -> tuple[str, list[str]]:
    """Give no release and no files of it."""
    return "", []


def _exchange(old: Callable[..., Any], new: Callable[..., Any]) -> None:
    """Put a function in the place of another one, wherever Ultralytics has it at hand."""
    for module in _loaded():
        for name in [name for name, each in vars(module).items() if each is old]:
            setattr(module, name, new)


def _loaded() -> list[ModuleType]:
    return [each for name, each in sys.modules.items() if name.partition(".")[0] == "ultralytics" and each]
