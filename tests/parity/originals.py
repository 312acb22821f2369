"""The networks that ours must equal, and how each is built with the sizes of a spec: one table for all families."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from PIL import Image
from timm.models.byoanet import model_cfgs
from timm.models.byobnet import expand_blocks_cfg
from torch import Tensor, nn

from tests.networks import unwritten
from tests.parity.listings import listing_botnet_like
from tests.parity.lucidrains import BottleStack, behind_resnet
from tests.parity.official_convmixer import as_a_function, as_tweeted
from tests.parity.official_cotnet import OfficialCoTNet
from visiongraft.blocks.stems import DeepStem, PatchStem
from visiongraft.families.zoo import get_spec
from visiongraft.kernels.types import Grid
from visiongraft.network import Network
from visiongraft.spec import Backbone
from visiongraft.weights import author_names, listing_names, timm_names
from visiongraft.weights.convert import convert
from visiongraft.weights.models import create_model
from visiongraft.weights.origins import SOURCES


@dataclass(frozen=True)
class Original:
    """A network as others wrote it.

    Args:
        name: what it and ours are called.
        source: whose names its tensors have, as in `convert`.
        build: makes it with the widths, depths, classes and grids of one of our specs of that name.
    """

    name: str
    source: str
    build: Callable[[Backbone], nn.Module]

    def pair(self, spec: Backbone, images: Tensor | None = None) -> tuple[nn.Module, Network]:
        """Make it with numbers that no network starts with, and ours with the same ones.

        Args:
            spec: its sizes.
            images: what it shall tell apart, if it is for that: see `settled`.
        """
        torch.manual_seed(0)
        theirs = perturbed(self.build(spec))
        if images is not None:
            settled(theirs, images)
        with unwritten():
            ours = create_model(spec)
        ours.load_state_dict(convert(theirs.state_dict(), source=self.source, name=spec))
        return theirs, ours


def timm_botnet_like(spec: Backbone) -> nn.Module:
    """Build timm's network of the spec's name with the first blocks of its stages, as many as the spec has."""
    stages = zip(model_cfgs[spec.name.removesuffix("_256")].blocks, depths(spec), strict=True)
    return timm.create_model(
        spec.name,
        img_size=spec.image,
        num_classes=spec.head.num_classes,
        blocks=tuple(expand_blocks_cfg(stage)[:depth] for stage, depth in stages),
    )


def timm_coatnet_like(spec: Backbone) -> nn.Module:
    """Build timm's network of the spec's name with the spec's sizes."""
    first = getattr(spec.stem, "first_width", None) or spec.stem.width
    return timm.create_model(
        spec.name,
        img_size=spec.image,
        num_classes=spec.head.num_classes,
        embed_dim=spec.widths[1:],
        depths=depths(spec),
        stem_width=(first, spec.stem.width),
        head_hidden_size=spec.head.hidden,
    )


def timm_resnet_like(spec: Backbone) -> nn.Module:
    """Build timm's network of the spec's name with the spec's depths."""
    return timm.create_model(spec.name, num_classes=spec.head.num_classes, layers=depths(spec))


def timm_convmixer_like(spec: Backbone) -> nn.Module:
    """Build timm's network of the spec's name and cut it to the spec's depth."""
    network = timm.create_model(spec.name, num_classes=spec.head.num_classes)
    network.blocks = network.blocks[: depths(spec)[0]]
    return network


def official_cotnet_like(spec: Backbone) -> nn.Module:
    """Build the authors' network of the spec's name with the spec's sizes."""
    variant = "se_cotnetd_blur" if spec.name == "se_cotnetd152" else spec.name.rstrip("0123456789")
    return OfficialCoTNet(
        variant,
        getattr(spec.stem, "widths", (spec.stem.width,)),
        depths(spec),
        spec.widths[1:],
        in_chans=spec.in_chans,
        num_classes=spec.head.num_classes,
    )


def official_convmixer_like(spec: Backbone, write: Callable[..., nn.Module] = as_a_function) -> nn.Module:
    """Build the authors' network with the spec's sizes, in one of the two forms in which they wrote it."""
    block = spec.stages[0].blocks[0]
    return write(
        spec.stem.width,
        spec.depth,
        kernel=block.kernel,
        patch=spec.stem.patch,
        act={"gelu": nn.GELU, "relu": nn.ReLU}[block.act],
        in_chans=spec.in_chans,
        num_classes=spec.head.num_classes,
    )


def tweeted_convmixer_like(spec: Backbone) -> nn.Module:
    return official_convmixer_like(spec, as_tweeted)


def lucidrains_like(spec: Backbone) -> nn.Module:
    """Build lucidrains' stack behind torchvision's ResNet, with the spec's depths."""
    *front, last = depths(spec)
    relative = spec.stages[-1].blocks[0].mixer.position == "relative"
    stack = BottleStack(spec.widths[-2], spec.grids()[-2], width=spec.widths[-1], depth=last, relative=relative)
    return behind_resnet(tuple(front), stack, num_classes=spec.head.num_classes)


def depths(spec: Backbone) -> tuple[int, ...]:
    return tuple(len(stage.blocks) for stage in spec.stages)


EVEN_KERNELS = ("convmixer_1024_12", "convmixer_512_16", "convmixer_512_12")
"""The form that fits into a tweet cannot have them: its padding makes the map grow."""

BUILDERS = (
    (timm_names.RESNET, timm_resnet_like),
    (timm_names.BOTNET, timm_botnet_like),
    (timm_names.COATNET, timm_coatnet_like),
    (timm_names.CONVMIXER, timm_convmixer_like),
    (author_names.COTNET, official_cotnet_like),
    (author_names.CONVMIXER, official_convmixer_like),
    (author_names.CONVMIXER, tweeted_convmixer_like),
    (author_names.BOTTLE_STACK_AS_C5, lucidrains_like),
    (author_names.BOTTLE_STACK_AS_C3, lucidrains_like),
    (listing_names.BOTNET, listing_botnet_like),
)

ORIGINALS = [
    Original(name, source, build)
    for layout, build in BUILDERS
    for source, layouts in SOURCES.items()
    for name, each in layouts.items()
    if each is layout
    and not (build is tweeted_convmixer_like and name in EVEN_KERNELS)
    and not (source == "leaderj1001" and name in SOURCES["pprp"])  # one is a copy of the other
]

LARGE = 100_000_000
"""Networks with more parameters are compared with two blocks in a stage and a quarter of the widths."""

COSTLY = 20_000_000
"""Networks with more parameters are compared whole, at 128 pixels at most, but for those of `NATIVE`. Smaller ones
keep their own size. At full depth and width and its own size only scripts/measure_parity.py compares every network."""

NATIVE = (
    "resnet50",
    "seresnet50",
    "botnet50ts_256",
    "botnet50_listing",
    "coatnet_0_224",
    "coatnet_bn_0_rw_224",
    "coatnet_rmlp_2_rw_384",
)
"""One costly network of each family and kind of position: these keep their own size, and where that is over `WIDE`
two blocks in a stage."""

WIDE = 256
"""Side of images in pixels above which networks of full depth cost too much."""


def perturbed(network: nn.Module) -> nn.Module:
    """Give every parameter and statistic a random number of its own, of a size that lets activations live.

    Scales, variances and layer scales lie in [0.5, 1.5], biases and means in [-0.5, 0.5], and weights have the
    variance 1 / (numbers that one output sums).
    """
    state = network.state_dict()
    for name, each in state.items():
        last = name.rpartition(".")[2]
        if last == "num_batches_tracked":
            each.fill_(7)
        elif each.ndim == 1 and last in ("bias", "running_mean"):
            each.uniform_(-0.5, 0.5)
        elif each.ndim == 1:
            each.uniform_(0.5, 1.5)
        elif last in ("relative_position_bias_table", "height_rel", "width_rel"):
            each.normal_()
        elif last in ("rel_h", "rel_w"):
            each.normal_(std=0.25)
        elif name.endswith("query.weight"):
            each.normal_(std=0.1 * each[0].numel() ** -0.5)  # logits that nothing scales down would choose one cell
        else:
            each.normal_(std=each[0].numel() ** -0.5)
    return network


def settled(network: nn.Module, images: Tensor) -> None:
    """Give batch normalisations the statistics of images, where no other normalisation keeps these apart.

    Under random statistics what tells two images apart fades with depth, and with it what a wrong one would change.
    Variances are a tenth larger than measured: where images are all that counts, rounding grows with depth as well.
    """
    if any(isinstance(each, nn.LayerNorm) for each in network.modules()):
        return
    norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
    momenta = [each.momentum for each in norms]
    for each in norms:
        each.momentum = 1.0
    with torch.no_grad():
        network.train()(images)
    for each, momentum in zip(norms, momenta, strict=True):
        each.momentum = momentum
        each.running_var.mul_(1.1)


def without_dropout(network: nn.Module) -> nn.Module:
    for each in network.modules():
        if isinstance(each, nn.Dropout):
            each.p = 0.0
    return network


def reduced(spec: Backbone, *, depth: int, narrower: int = 1) -> Backbone:
    """Give a network with at most `depth` blocks in a stage and widths divided by `narrower`."""
    stem = spec.stem
    if isinstance(stem, DeepStem):
        stem = replace(stem, widths=tuple(width // narrower for width in stem.widths))
    else:
        stem = replace(stem, width=stem.width // narrower)
    if getattr(stem, "first_width", None):
        stem = replace(stem, first_width=stem.first_width // narrower)
    stages = tuple(replace(stage, width=stage.width // narrower, blocks=stage.blocks[:depth]) for stage in spec.stages)
    hidden = spec.head.hidden and spec.head.hidden // narrower
    return replace(spec, stem=stem, stages=stages, head=replace(spec.head, hidden=hidden))


@cache
def affordable(original: Original) -> Backbone:
    """Give our spec of a network in the form in which it is compared.

    ConvMixers of all sources get images of 70 pixels at most. The authors' CoTNets and ConvMixers, whose blocks
    repeat, have two blocks in a stage and half the widths; lucidrains' stack and torchvision's stages before it have
    two blocks in a stage at 96 pixels, and the stack 512 channels. Others: see `LARGE`, `COSTLY` and `NATIVE`.
    """
    spec = get_spec(original.name)
    if isinstance(spec.stem, PatchStem):
        spec = spec.at(min(spec.image[0], 70))  # patches of 7 or of 14 pixels fill it
    if original.source == "lucidrains":
        spec = reduced(spec, depth=2).at(96)  # torchvision's stages cannot be narrower, and the stack can
        return replace(spec, stages=(*spec.stages[:-1], replace(spec.stages[-1], width=512)))
    if original.source in ("convmixer", "cotnet"):
        return reduced(spec, depth=2, narrower=2)
    if isinstance(spec.stem, PatchStem):
        return spec
    size = params(spec)
    if size > LARGE:
        return reduced(spec, depth=2, narrower=4)
    if original.name in NATIVE:
        return reduced(spec, depth=2) if max(spec.image) > WIDE else spec
    return spec.at(min(128, *spec.image)) if size > COSTLY else spec


@cache
def params(spec: Backbone) -> int:
    """Count what a network learns, without building its numbers."""
    with torch.device("meta"):
        return sum(each.numel() for each in Network(spec).parameters())


def for_training(spec: Backbone) -> Backbone:
    """Give a network with at most two blocks in a stage and images of at most 96 pixels."""
    return reduced(spec, depth=2).at(min(96, *spec.image))


def difference(found: Tensor, wanted: Tensor) -> float:
    """Give the largest absolute difference as a share of the largest absolute number that was wanted."""
    return float((found - wanted).abs().max() / wanted.abs().max())


def logits(theirs: nn.Module, ours: Network, images: Tensor) -> tuple[Tensor, Tensor]:
    """Give what both members of a pair answer in eval mode."""
    with torch.no_grad():
        return theirs.eval()(images), ours.eval()(images)


def training_step(
    original: Original, spec: Backbone, images: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor], list[tuple[Tensor, Tensor]]]:
    """Train both for a step, without dropout, each image being a class of its own.

    In float64 where a gate normalises one number of each image over the batch, as CoTNet's do: a few photographs may
    differ so little in it that the rounding of float32 shows in every gradient before it. And with lucidrains' stack,
    where two of millions of numbers fell on different sides of a ReLU.

    Returns:
        The original's gradients and ours, both by our names, and pairs of the statistics that the step left.
    """
    theirs, ours = original.pair(spec)
    if original.source in ("cotnet", "lucidrains"):
        images, theirs, ours = images.double(), theirs.double(), ours.double()
    for network in (theirs, ours):
        F.cross_entropy(without_dropout(network).train()(images), torch.arange(len(images))).backward()
    state = theirs.state_dict()
    state.update({name: each.grad for name, each in theirs.named_parameters()})
    wanted = convert(state, source=original.source, name=spec)  # gradients are renamed and reordered like weights
    ones = {name: torch.ones_like(each) for name, each in state.items()}
    scale = convert(ones, source=original.source, name=spec)  # but where ours is s times theirs, theirs / s is ours
    found = {name: each.grad for name, each in ours.named_parameters()}
    statistics = [(wanted[name], each) for name, each in ours.named_buffers() if name in wanted]
    return {name: wanted[name] / scale[name] ** 2 for name in found}, found, statistics


def photographs(folder: Path, image: Grid, count: int) -> Tensor:
    """Read real photographs at a size in pixels, with numbers from -1 to 1."""
    height, width = image
    pictures = []
    for path in sorted((folder / "data" / "demo").glob("*.jpg"))[:count]:
        with Image.open(path) as file:
            pixels = file.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
        pictures.append(torch.frombuffer(bytearray(pixels.tobytes()), dtype=torch.uint8).view(height, width, 3))
    assert len(pictures) == count
    return torch.stack(pictures).permute(0, 3, 1, 2) / 127.5 - 1.0
