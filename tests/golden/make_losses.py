"""Make the golden losses: ten steps of training of a tiny network per family, which a refactor must not change.

    python -m tests.golden.make_losses

Writes `losses.json` beside this file. Everything is float64 and starts from a seed, so that machines agree to about
nine digits. The networks are written out here, so that neither the zoo nor the other tests' networks move them.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F

from visiongraft import (
    Backbone,
    Basic,
    BlurAfter,
    Bottleneck,
    CoAtNetStem,
    ContextualTransformer,
    Conv,
    ConvMixerBlock,
    DeepStem,
    GatedConv,
    GridAttention,
    Head,
    MBConv,
    NonLocal,
    PatchStem,
    RelativeTransformer,
    ResNetStem,
    SimplifiedContextualTransformer,
    SmallStem,
    SqueezeExcite,
    Stage,
    create_model,
)
from visiongraft.train.optim import make_optimizer
from visiongraft.train.recipe import Recipe

FILE = Path(__file__).with_name("losses.json")
STEPS = 10
CLASSES = 3
BATCH = 6
SIDES = (32, 24)
"""Pixels of the images of even steps and of odd ones: the native size of the networks, and a foreign one."""


def _resnet(name: str, *blocks: Bottleneck | NonLocal, last: Bottleneck) -> Backbone:
    stages = (Stage(64, 2, blocks, stride_in="pool"), Stage(128, 2, (last, last)))
    return Backbone(name, ResNetStem(16), stages)


def _botnet(name: str, mixer: GridAttention) -> Backbone:
    attend = Bottleneck(mixer=mixer, shortcut="conv_act")
    return Backbone(name, SmallStem(16, "silu"), (Stage(32, 2, (Bottleneck(),)), Stage(64, 2, (attend, attend))))


def _coatnet(name: str, convolve: MBConv) -> Backbone:
    attend = RelativeTransformer(head_dim=8, expansion=2)
    stages = (Stage(16, 2, (convolve, convolve)), Stage(32, 2, (attend, attend)))
    return Backbone(name, CoAtNetStem(16), stages, Head(norm="layer", hidden=32))


_BASIC = (Stage(16, 1, (Basic(),)), Stage(32, 2, (Basic(), Basic(mixer=GridAttention(heads=2)))))

_SE_COTNETD = (
    Stage(64, 2, (Bottleneck(mixer=GatedConv(), shortcut="mean_conv"),)),
    Stage(64, 2, (Bottleneck(mixer=BlurAfter(ContextualTransformer()), shortcut="mean_conv"),)),
)

NETWORKS = (
    _resnet("resnet", Bottleneck(), last=Bottleneck(mixer=Conv(3, groups=2))),
    _resnet("se_resnet_non_local", Bottleneck(), NonLocal(), last=Bottleneck(squeeze=SqueezeExcite(1 / 4))),
    _botnet("botnet", GridAttention(heads=2)),
    _botnet("botnet_positions_alone", GridAttention(heads=2, position="relative_only")),
    _botnet("botnet_absolute", GridAttention(heads=2, position="absolute")),
    _coatnet("coatnet", MBConv(expansion=2)),
    _coatnet("coatnet_depthwise", MBConv(expansion=2, stride_at="depthwise")),
    _botnet("botnet_listing", GridAttention(heads=2, position="listing")),
    Backbone("convmixer", PatchStem(16, 4), (Stage(16, 1, (ConvMixerBlock(5), ConvMixerBlock(4, "relu"))),)),
    _resnet("cotnet", Bottleneck(), last=Bottleneck(mixer=ContextualTransformer())),
    _resnet("cotnet_listing", Bottleneck(), last=Bottleneck(mixer=SimplifiedContextualTransformer())),
    Backbone("botnet_basic", SmallStem(16), _BASIC),
    Backbone("se_cotnetd", DeepStem((8, 8, 16)), _SE_COTNETD),
)
"""Every family, and every block, mixer and position of the vocabulary at least once."""

OPTIMISERS = ("adamw", "muon")


@contextmanager
def _float64() -> Iterator[None]:
    """Make new parameters in float64: they are drawn in it as well, and so do not depend on vector instructions."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Give waves of three directions, one for each class, without a random number."""
    side = SIDES[step % len(SIDES)]
    rows, columns = torch.meshgrid(*(torch.linspace(0, 1, side),) * 2, indexing="ij")
    labels = torch.arange(BATCH) % CLASSES
    images = []
    for index, label in enumerate(labels.tolist()):
        along = (rows, columns, rows + columns)[label]
        waves = [torch.sin((9 + 2 * channel + index) * along + step) for channel in range(3)]
        images.append(torch.stack(waves))
    return torch.stack(images), labels


def train(spec: Backbone, opt: str) -> list[float]:
    """Give the losses of ten steps, with stochastic depth."""
    with _float64():
        torch.manual_seed(0)
        network = create_model(spec, num_classes=CLASSES, image=SIDES[0], drop_path=0.2).train()
        optimizer = make_optimizer(network, Recipe(opt=opt, lr=3e-3, weight_decay=0.05))
        losses = []
        for step in range(STEPS):
            images, labels = _batch(step)
            loss = F.cross_entropy(network(images), labels, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses


def main() -> None:
    """Write the file."""
    found = {f"{spec.name}, {opt}": train(spec, opt) for spec in NETWORKS for opt in OPTIMISERS}
    lines = (
        f"  {json.dumps(name)}: {json.dumps([float(f'{loss:.10g}') for loss in each])}" for name, each in found.items()
    )
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
