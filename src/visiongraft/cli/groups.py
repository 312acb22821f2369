"""Options that several verbs have: each group is one argument of a verb's `run`, marked as `Spread`."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from visiongraft.cli.grafting import parse_grafts, parse_variants, run_plugin
from visiongraft.cli.values import check_positive, check_share, check_workers, parse_rgb
from visiongraft.data.published import Download
from visiongraft.data.sets import ImageData, Parts
from visiongraft.data.sources import open_data
from visiongraft.errors import GraftError
from visiongraft.kernels.types import Grid
from visiongraft.preprocessing import Interpolation, Preprocessing
from visiongraft.surgery.words import Graft
from visiongraft.train.crew import is_a_restart
from visiongraft.train.devices import find_device
from visiongraft.train.engine import Resume


@dataclass(frozen=True)
class Grafts:
    """What is grafted into a network.

    Args:
        graft: what to graft into it: PLACE=MIXER puts a mixer where a convolution is, PLACE+=MIXER behind a module;
            several have ; between them
        graft_lose: what of these convolutions may go with them, of groups,dilation
        plugin: a file of Python with mixers of your own, frozen dataclasses with build(site); it is run
    """

    graft: str | None = None
    graft_lose: str | None = None
    plugin: Path | None = None

    def parsed(self) -> tuple[Graft, ...]:
        """Run the plugin, and read the grafts of one network.

        Raises:
            GraftError: if a file or a text is none.
        """
        run_plugin(self.plugin)
        return parse_grafts(self.graft, self.graft_lose)

    def variants(self) -> list[tuple[Graft, ...]]:
        """Run the plugin, and read the grafts of several networks.

        Raises:
            GraftError: if a file or a text is none.
        """
        run_plugin(self.plugin)
        return parse_variants(self.graft, self.graft_lose)


@dataclass(frozen=True)
class Source:
    """Where the weights come from that a training begins with.

    Args:
        pretrained: begin with weights that others published, which are fetched once and kept; images are normalised as
            they were for these
        weights: begin with those of a file or a run folder; a file of timm's needs the name of its network as --model
        weights_dir: where published weights are kept; by default the cache of Hugging Face's libraries
        offline: fetch no weights
    """

    pretrained: bool = False
    weights: Path | None = None
    weights_dir: Path | None = None
    offline: bool = False

    def __bool__(self) -> bool:
        """Tell whether there are any, or all is random."""
        return self.pretrained or self.weights is not None


@dataclass(frozen=True)
class Images:
    """Which images with classes.

    Args:
        data: a folder of images, an .npz file, a name such as cifar10, or litdata: and the folder or bucket of shards;
            by default the bundled flowers
        data_dir: where the files of a data set by name lie, or where chunks of a bucket are kept
        download: whether a data set by name may be fetched when its files are missing
    """

    data: str | None = None
    data_dir: Path | None = None
    download: Download = "never"

    def opened(self, parts: Parts = "both") -> ImageData:
        """Find the images, or those to be scored on alone. Errors as in `open_data`."""
        return open_data(self.data, data_dir=self.data_dir, parts=parts, download=self.download)


@dataclass(frozen=True)
class Shown:
    """What images go through, as far as the user says it.

    Args:
        mean: of red, green and blue, subtracted from the pixels, as 0.49,0.48,0.45 on a scale from 0 to 1; by default
            that of the weights, or ImageNet's
        std: what they are then divided by, in the same form
        interpolation: how images are resized; by default as for the weights, or bicubic
        crop_pct: share of the resized image that validation shows; by default as for the weights, or 0.875
    """

    mean: str | None = None
    std: str | None = None
    interpolation: Interpolation | None = None
    crop_pct: float | None = None

    def over(self, begun: Preprocessing, image: Grid) -> Preprocessing:
        """Give a preprocessing with what the user said of it, at a size; the rest is that of `begun`.

        Raises:
            GraftError: if a value cannot be.
        """
        return replace(
            begun,
            image=image,
            mean=begun.mean if self.mean is None else parse_rgb(self.mean, "--mean"),
            std=begun.std if self.std is None else parse_rgb(self.std, "--std"),
            interpolation=self.interpolation or begun.interpolation,
            crop=begun.crop if self.crop_pct is None else self.crop_pct,
        )


@dataclass(frozen=True)
class Machine:
    """What computes, and what reads images.

    Args:
        workers: processes that read images; auto for none if they are in memory, else one per spare core
        device: auto, cpu, cuda, cuda:1 or mps
        devices: how many of that kind train together on this machine; each batch is shared among them
    """

    workers: Literal["auto"] | int = "auto"
    device: str = "auto"
    devices: int = 1

    def __post_init__(self) -> None:
        """Refuse, before any data is searched, what counts nothing.

        Raises:
            GraftError: if it does.
        """
        check_positive(self.devices, "--devices")
        check_workers(self.workers)

    def place(self) -> torch.device:
        """Find the device. Errors as in `find_device`."""
        return find_device(self.device)


@dataclass(frozen=True)
class Upkeep:
    """How a run goes on in spite of what may happen to it.

    Args:
        max_unreadable: share of the images that may be unreadable before the run stops
        save_minutes: time between two writings of the state that --resume goes on from; 0 for every step, or every
            tenth on a GPU or several devices
        resume: go on with the run in this folder, with its options, as if it had never been stopped
    """

    max_unreadable: float = 0.01
    save_minutes: float = 1.0
    resume: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what is no share and no time.

        Raises:
            GraftError: if it is none.
        """
        check_share(self.max_unreadable, of="--max-unreadable")
        if self.save_minutes < 0:
            raise GraftError(f"--save-minutes must be at least 0, not {self.save_minutes}.")

    @property
    def way(self) -> Resume:
        """Whether a state in the folder is gone on from."""
        return "allowed" if self.resume or is_a_restart() else "never"
