"""The recipes by name: each with where it comes from, what it gave there, and what it gave here."""

from dataclasses import dataclass, fields, replace

from visiongraft.errors import GraftError, nearest
from visiongraft.preprocessing import Interpolation
from visiongraft.train.recipe import Recipe

UNMEASURED = "unmeasured"
"""What was measured of a recipe that nobody ran here."""


@dataclass(frozen=True)
class NamedRecipe:
    """A recipe with what it is for.

    Args:
        name: on the command line.
        recipe: how to train. Batches are those of all devices together.
        model: what is trained where nobody says.
        data: what it was made for, as `--data` takes it; None for the bundled flowers.
        source: the paper with its section, or the repository.
        published: what the source says that it gives.
        measured: what it gave here, with the command, the machine and the date; or that it is unmeasured.
        departures: where it differs from the source, one sentence each.
        image: pixels a side; None for the network's own.
        mean: of the pixels, as `--mean` takes it; None for that of the weights, or ImageNet's.
        std: the same.
        interpolation: how images are resized, to train and to validate; None as for the weights, or bicubic.
        crop_pct: share of the image that the crop of a validation keeps; None for that of the weights, or 0.875.
        weights: whether it begins with trained weights, which `--weights` gives.
    """

    name: str
    recipe: Recipe
    model: str
    data: str | None
    source: str
    published: str
    measured: str = UNMEASURED
    departures: tuple[str, ...] = ()
    image: int | None = None
    mean: str | None = None
    std: str | None = None
    interpolation: Interpolation | None = None
    crop_pct: float | None = None
    weights: str | None = None

    @property
    def command(self) -> str:
        """What runs it."""
        words = ["graft train", f"--recipe {self.name}"]
        words += [f"--data {self.data} --data-dir DIR"] if self.data else []
        return " ".join([*words, *([f"--weights {self.weights}"] if self.weights else [])])

    @property
    def options(self) -> dict[str, object]:
        """The options of `graft train` whose defaults it gives."""
        own = {name: getattr(self, name) for name in ("image", "mean", "std", "interpolation", "crop_pct")}
        return {each.name: getattr(self.recipe, each.name) for each in fields(Recipe)} | own


_PLAIN = Recipe(
    opt="sgd",
    label_smoothing=0.0,
    clip_grad=0.0,
    warmup_epochs=0.0,
    drop_path=0.0,
    grow_from=1.0,
    grow_to=1.0,
    crop_scale=0.08,
    rotation=0.0,
    color_jitter=0.0,
)
"""What papers mean where they say nothing: crops from 8% of an image on, half of them mirrored."""

_COATNET = replace(
    _PLAIN,
    epochs=300,
    batch_size=4096,
    opt="adamw",
    lr=1e-3,
    min_lr=1e-5,
    warmup_epochs=32.0,
    weight_decay=0.05,
    clip_grad=1.0,
    label_smoothing=0.1,
    drop_path=0.2,
    mixup=0.8,
    aa="rand-m15-n2-p1",
)

_COATNET_FINE = replace(
    _COATNET,
    epochs=30,
    batch_size=512,
    lr=5e-5,
    min_lr=5e-5,
    warmup_epochs=0.0,
    weight_decay=1e-8,
    model_ema_decay=0.9999,
)

_COATNET_DEPARTURES = (
    "RandAugment's magnitude of 15 is run as 10, where torchvision's ranges end.",
    "Position tables, biases and normalisations feel no weight decay.",
    "CoAtNet-1, -2 and -3 take --drop-path 0.3, 0.5 and 0.7.",
)

_CONVMIXER = replace(
    _PLAIN,
    epochs=150,
    batch_size=640,
    opt="adamw",
    opt_eps=1e-3,
    lr=0.01,
    sched="onecycle",
    weight_decay=2e-5,
    clip_grad=1.0,
    label_smoothing=0.1,
    aa="rand-m9-mstd0.5-inc1",
    reprob=0.25,
    mixup=0.5,
    cutmix=0.5,
    precision="bfloat16",
)

_CONVMIXER_CIFAR = replace(
    _PLAIN,
    epochs=25,
    batch_size=512,
    opt="adamw",
    lr=0.05,
    sched="onecycle",
    weight_decay=0.005,
    crop_scale=1.0,
    crop_ratio=1.0,
    aa="rand-m4-n2-p1",
    remode="const",
    precision="bfloat16",
)

_NO_DECAY = "Biases and normalisations feel no weight decay."
_LAST_BATCH = "The last and smaller batch of an epoch is left out; its images come in another epoch."
_AMP = "Half precision is bfloat16, and float16 in the source."
_ONE_MAGNITUDE = "The magnitude of RandAugment is drawn once for an image, and not for each of its changes."
_RA12 = "torchvision's magnitude 12 of 30 is our 4 of 10, to which timm's words go."
_FILL = (
    "RandAugment uncovers the mean colour and turns bilinearly; in the source it uncovers black, with nearest pixels."
)
_TIMMS_CHANGES = (
    "RandAugment chooses among torchvision's 14 changes. Of timm's 15 it lacks Invert and SolarizeAdd, and it has"
    " Identity (no change) beside them; its Posterize keeps at least 4 bits, and timm's of inc1 at least none."
)
_RANDOM_RESIZING = "Images are resized bicubically; timm's training draws bilinear or bicubic for each."
_CIFAR_MEAN = "0.4914,0.4822,0.4465"
_CONVMIXER_STD = "0.2471,0.2435,0.2616"

_COTNET = replace(
    _PLAIN,
    epochs=350,
    batch_size=640,
    opt="nesterov",
    lr=0.25,
    warmup_epochs=5.0,
    warmup_lr=1e-4,
    min_lr=1e-5,
    weight_decay=4e-5,
    label_smoothing=0.1,
    drop_path=0.1,
    dropout=0.25,
    aa="rand-m15-mstd0.5-n2",
    mixup=0.8,
    cutmix=1.0,
    model_ema_decay=0.9999,
)

_PLAIN_IN1K = replace(
    _PLAIN,
    epochs=100,
    batch_size=256,
    opt="nesterov",
    lr=0.2,
    warmup_epochs=5.0,
    warmup_lr=0.02,
    weight_decay=5e-5,
)

_COATNET_384 = NamedRecipe(
    "coatnet_in1k_384",
    _COATNET_FINE,
    model="coatnet_0",
    data="imagenet",
    source="arXiv:2106.04803v2, table 10, second column",
    published="83.9% (CoAtNet-0), 85.1% (-1), 85.7% (-2), 85.8% (-3)",
    departures=_COATNET_DEPARTURES,
    image=384,
    crop_pct=1.0,
    weights="runs/coatnet_0-imagenet",
)

_CONVMIXER_25 = NamedRecipe(
    "convmixer_cifar",
    _CONVMIXER_CIFAR,
    model="convmixer_256_8",
    data="cifar10",
    source="the authors' convmixer-cifar10, README, 25 epochs",
    published="92.60% (CIFAR-10)",
    departures=(_AMP, _RA12, _FILL, _NO_DECAY, _LAST_BATCH),
    image=32,
    mean=_CIFAR_MEAN,
    std=_CONVMIXER_STD,
)

RECIPES = (
    NamedRecipe(
        "small_data",
        Recipe(),
        model="coatnet_pico",
        data=None,
        source="found here: docs/decisions/0004-muon.md",
        published="nothing",
        measured="82.6% in the mean of three seeds: docs/training.md",
    ),
    NamedRecipe(
        "cifar_cpu",
        Recipe(
            epochs=13,
            batch_size=256,
            lr=0.02,
            warmup_epochs=1.0,
            drop_path=0.0,
            grow_from=0.625,
            grow_to=1.0,
            crop_padding=2,
            rotation=0.0,
            color_jitter=0.0,
            precision="bfloat16",
            val_every=5,
            keep="last",
        ),
        model="botnet14_cifar",
        data="cifar10",
        source="found here: as much of CIFAR-10 as two cores of a CPU learn in 20 minutes",
        published="nothing",
        measured="90.6% as the mean of three seeds (90.59, 90.47, 90.60), in 1,181, 1,200 and 1,185 s with start and"
        " report (AMD EPYC, 2 threads, 2026-11-22): benchmarks/recipes.jsonl",
        departures=("The score is that of the last epoch: the test images choose nothing.",),
        image=32,
        mean=_CIFAR_MEAN,
        std=_CONVMIXER_STD,
        crop_pct=1.0,
    ),
    NamedRecipe(
        "botnet_cifar",
        replace(
            _PLAIN,
            epochs=100,
            batch_size=128,
            lr=0.1,
            weight_decay=5e-4,
            clip_grad=2.0,
            dropout=0.3,
            crop_padding=4,
            cutout=8,
        ),
        model="botnet50_small",
        data="cifar10",
        source="pprp/pytorch-cifar-model-zoo, botnet, --sched cosine --epochs 100 --cutout True --lr 0.1 --bs 128",
        published="91.1% (CIFAR-10, one run)",
        departures=(
            "The network is the paper's; botnet50_listing_small is the one of the source.",
            "The cosine falls with every step, and not once an epoch.",
            "Biases, normalisations and position tables feel no weight decay.",
        ),
        image=32,
        mean=_CIFAR_MEAN,
        std="0.2023,0.1994,0.2010",
    ),
    NamedRecipe(
        "botnet_in1k_100",
        _PLAIN_IN1K,
        model="botnet_s1_50",
        data="imagenet",
        source="BIGBALLON/distribuuuu, README: SGD 0.9 nesterov, batch 256, lr 0.2, cosine, 5 of warm-up, wd 5e-5",
        published="77.604% (BoT-S1-50), 77.252% (ResNet-50)",
        departures=(
            "Biases, normalisations and position tables feel no weight decay.",
            "The rate moves with every step, and not once an epoch; while it rises, the cosine does not fall yet.",
            _LAST_BATCH,
        ),
        interpolation="bilinear",
    ),
    NamedRecipe(
        "coatnet_in1k",
        _COATNET,
        model="coatnet_0",
        data="imagenet",
        source="arXiv:2106.04803v2, table 10, first column",
        published="81.6% (CoAtNet-0), 83.3% (-1), 84.1% (-2), 84.5% (-3), at 224",
        departures=("The 10,000 steps of warm-up are 32 epochs of 1.28 million images.", *_COATNET_DEPARTURES),
    ),
    _COATNET_384,
    replace(
        _COATNET_384,
        name="coatnet_in1k_512",
        recipe=replace(_COATNET_FINE, drop_path=0.5),
        model="coatnet_2",
        published="85.9% (CoAtNet-2), 86.0% (-3)",
        image=512,
        weights="runs/coatnet_2-imagenet",
    ),
    NamedRecipe(
        "convmixer_in1k",
        _CONVMIXER,
        model="convmixer_1536_20",
        data="imagenet",
        source="locuslab/convmixer, README, on 10 GPUs with 64 images each",
        published="81.37% (1536/20); 80.16% (768/32, with 300 epochs)",
        departures=(
            _AMP,
            _ONE_MAGNITUDE,
            _TIMMS_CHANGES,
            _RANDOM_RESIZING,
            "ConvMixer-768/32 takes --epochs 300.",
        ),
        crop_pct=0.96,
    ),
    _CONVMIXER_25,
    replace(
        _CONVMIXER_25,
        name="convmixer_cifar_100",
        recipe=replace(_CONVMIXER_CIFAR, epochs=100, color_jitter=0.2, reprob=0.2),
        source="the authors' convmixer-cifar10, README, 100 epochs",
        published="above 94% (CIFAR-10)",
    ),
    NamedRecipe(
        "convmixer_cifar_200",
        replace(_CONVMIXER, epochs=200, batch_size=64, weight_decay=0.01, crop_scale=0.75),
        model="convmixer_256_8_k9_p1",
        data="cifar10",
        source="locuslab/convmixer, issue 15",
        published="96.03% (CIFAR-10, the paper); 95.89% (the issue)",
        departures=(
            _AMP,
            _ONE_MAGNITUDE,
            _TIMMS_CHANGES,
            _RANDOM_RESIZING,
            "Smoothing is timm's, since the issue names none.",
            "Validation shows an image as it is, where timm enlarges it before its crop.",
        ),
        image=32,
        mean=_CIFAR_MEAN,
        std=_CONVMIXER_STD,
    ),
    NamedRecipe(
        "cotnet_in1k",
        _PLAIN_IN1K,
        model="cotnet50",
        data="imagenet",
        source="botnet_in1k_100: the paper's plain recipe of about as many epochs is in no file of its authors",
        published="no score that is in a file of its authors",
        departures=("All numbers but the network are those of botnet_in1k_100, so that the two can be compared.",),
        interpolation="bilinear",
    ),
    NamedRecipe(
        "cotnet_in1k_advanced",
        _COTNET,
        model="cotnet50",
        data="imagenet",
        source="JDAI-CV/CoTNet, cot_experiments/CoTNet-50-350epoch/config.yaml, on 8 GPUs with 80 images each",
        published="81.3% (CoTNet-50)",
        departures=(
            "RandAugment's magnitude of 15 is run as 10, where torchvision's ranges end.",
            _ONE_MAGNITUDE,
            "RandAugment chooses among torchvision's 14 changes. Of the source's 16 it lacks Invert, SolarizeAdd and"
            " Cutout, and it has Identity (no change) beside them. There Posterize and Solarize weaken with the"
            " magnitude, colours only grow, and images are shifted by up to 150 pixels.",
            "The colour jitter of 0.4 in the file is left out, as timm leaves it out beside RandAugment.",
            "CoTNeXt-50 and SE-CoTNetD-101 take --batch-size 512 --lr 0.2, CoTNeXt-101 --batch-size 512 --lr 0.2"
            " --weight-decay 6e-5, CoTNet-101 --batch-size 448 --lr 0.175 --weight-decay 6e-5, SE-CoTNetD-152"
            " --batch-size 512 --lr 0.2 --drop-path 0.15; SE-CoTNetD-50 takes what CoTNet-50 does.",
        ),
    ),
)
"""All of them; the first is the default of `graft train`."""

DEFAULT = RECIPES[0].name
"""The recipe where nobody names one."""


def find_recipe(name: str) -> NamedRecipe:
    """Give the recipe of a name.

    Raises:
        GraftError: if there is none; the error suggests near names.
    """
    for each in RECIPES:
        if each.name == name:
            return each
    names = [each.name for each in RECIPES]
    raise GraftError(f"No recipe is named {name!r}.{nearest(name, names)} `graft list --recipes` shows all.")
