"""What papers and their authors say of the networks of the zoo: sizes, scores, and where we found a reason to doubt.

Nothing here was measured by us. Every number is in a public text that its source names. What was only remembered, and
could be checked nowhere, was left out: sizes are counted again from the description, and scores, which cannot be, are
those of texts at hand. Scores of weight files that can be fetched stand with the files, not here.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

Metric = Literal["imagenet", "cifar10", "faster", "cascade", "mask", "cascade_mask"]

METRICS: dict[Metric, str] = {
    "imagenet": "ImageNet-1k, top-1 / top-5 in %",
    "cifar10": "CIFAR-10, top-1 in %",
    "faster": "COCO val, Faster R-CNN, box AP",
    "cascade": "COCO val, Cascade R-CNN, box AP",
    "mask": "COCO val, Mask R-CNN, box / mask AP",
    "cascade_mask": "COCO val, Cascade Mask R-CNN, box / mask AP",
}
"""What each kind of score counts, in the order in which pages show them."""


@dataclass(frozen=True)
class Source:
    """A public text.

    Args:
        words: what it is, short enough for a table.
        address: where it is.
    """

    words: str
    address: str


def _arxiv(words: str, number: str) -> Source:
    return Source(f"{words}, arXiv:{number}", f"https://arxiv.org/abs/{number}")


SOURCES: dict[str, Source] = {
    "resnet": _arxiv("He et al. 2015", "1512.03385"),
    "senet": _arxiv("Hu et al. 2017", "1709.01507"),
    "nonlocal": _arxiv("Wang et al. 2017", "1711.07971"),
    "botnet": _arxiv("Srinivas et al. 2021", "2101.11605"),
    "coatnet": _arxiv("Dai et al. 2021", "2106.04803"),
    "convmixer": _arxiv("Trockman and Kolter 2022", "2201.09792"),
    "cotnet": _arxiv("Li et al. 2021", "2107.12292"),
    "later": Source("quoted by later papers", "https://arxiv.org/abs/2101.11605"),
    "bossnas": _arxiv("quoted by BossNAS", "2103.12424"),
    "levit": _arxiv("quoted by LeViT", "2104.01136"),
    "distribuuuu": Source("independent run, BIGBALLON/distribuuuu", "https://github.com/BIGBALLON/distribuuuu"),
    "keras": Source(
        "independent run, keras_cv_attention_models", "https://github.com/leondgarse/keras_cv_attention_models"
    ),
    "convmixer_readme": Source("authors' README, locuslab/convmixer", "https://github.com/locuslab/convmixer"),
    "convmixer_15": Source("locuslab/convmixer, issue 15", "https://github.com/locuslab/convmixer/issues/15"),
    "convmixer_cifar": Source(
        "authors' README, locuslab/convmixer-cifar10", "https://github.com/locuslab/convmixer-cifar10"
    ),
    "cotnet_readme": Source("authors' README, JDAI-CV/CoTNet", "https://github.com/JDAI-CV/CoTNet"),
    "cotnet_coco": Source(
        "authors' README, CoTNet for COCO",
        "https://github.com/JDAI-CV/CoTNet-ObjectDetection-InstanceSegmentation",
    ),
}
"""The public texts, by the names that the tables below use."""


@dataclass(frozen=True)
class Size:
    """What a source says that a network costs.

    Args:
        source: a key of SOURCES.
        image: side in pixels that the multiply-adds are for.
        params: millions, or None where the source does not say.
        macs: billions of multiply-adds for one image, or None.
        doubt: why the network of this description has another size; empty where ours agrees.
    """

    source: str
    image: int
    params: float | None = None
    macs: float | None = None
    doubt: str = ""


@dataclass(frozen=True)
class Score:
    """What a source says that a network reached.

    Args:
        source: a key of SOURCES.
        metric: what was counted.
        values: one number for each part of the metric's words; fewer where the source gives fewer.
        image: side in pixels, or None where images are not square.
        how: what tells this score from others of the network, such as the data that came before.
    """

    source: str
    metric: Metric
    values: tuple[float, ...]
    image: int | None
    how: str = ""


@dataclass(frozen=True)
class Published:
    """All of that about one network."""

    sizes: tuple[Size, ...] = ()
    scores: tuple[Score, ...] = ()


_SQUEEZED = (
    "the paper's number counts squeeze-and-excitation in the attention blocks too, where its text has none: with it"
    " the network would have {:.2f} million"
)
_S1_MACS = "4.27 billion are quoted for it, near the 4.03 of the last stage at stride 2; at stride 1, 5.4 are counted"
_SIX = (
    "the depths and widths of the paper's table 12 give 1.35 billion; which of its numbers is a slip, it does not tell"
)


def _training(params: float, squeezed: float, *rows: tuple[int, float, tuple[float, ...]]) -> Published:
    """Give a T model of BoTNet: rows of image side, billions of multiply-adds, and top-1 and top-5 if known."""
    doubt = _SQUEEZED.format(squeezed)
    return Published(
        tuple(Size("botnet", image, params, macs, doubt) for image, macs, _ in rows),
        tuple(Score("botnet", "imagenet", top, image) for image, _, top in rows if top),
    )


def _coatnet(params: float, *rows: tuple[int, float, float | None, float | None]) -> Published:
    """Give a CoAtNet: rows of image side, billions of multiply-adds, top-1 without and with ImageNet-21k before."""
    plain = (Score("coatnet", "imagenet", (one,), image) for image, _, one, _ in rows if one is not None)
    larger = (Score("coatnet", "imagenet", (more,), image, "ImageNet-21k first") for image, _, _, more in rows if more)
    return Published(tuple(Size("coatnet", image, params, macs) for image, macs, _, _ in rows), (*plain, *larger))


def _jft(which: str, *rows: tuple[int, float]) -> tuple[Score, ...]:
    return tuple(Score("coatnet", "imagenet", (top1,), image, f"{which} first") for image, top1 in rows)


def _convmixer(params: float, top1: float | None = None, source: str = "convmixer") -> Published:
    scores = () if top1 is None else (Score(source, "imagenet", (top1,), 224),)
    return Published((Size("convmixer", 224, params),), scores)


_COCO = {  # Faster, Cascade, then box and mask of Mask and Cascade Mask R-CNN
    "cotnet50": (43.50, 46.11, 44.06, 39.28, 46.94, 40.25),
    "cotnext50": (44.06, 46.79, 44.47, 39.62, 47.63, 40.76),
    "se_cotnetd50": (43.96, 46.77, 44.16, 39.38, 47.44, 40.73),
    "cotnet101": (45.35, 48.19, 46.17, 40.86, 48.97, 41.98),
    "cotnext101": (46.10, 49.02, 46.66, 41.21, 49.35, 42.20),
    "se_cotnetd101": (45.66, 49.02, 46.67, 41.53, 49.24, 42.38),
}


def _cotnet(name: str, params: float, *rows: tuple[int, int, float, float, float]) -> Published:
    """Give a CoTNet: rows of image side, the side its multiply-adds were counted at, these, top-1 and top-5."""
    sizes = tuple(Size("cotnet_readme", counted, params, macs) for _, counted, macs, _, _ in rows)
    scores = [
        Score("cotnet_readme", "imagenet", (top1, top5), image, "350 epochs") for image, _, _, top1, top5 in rows
    ]
    if name in _COCO:
        faster, cascade, box, mask, cascade_box, cascade_mask = _COCO[name]
        found: tuple[tuple[Metric, tuple[float, ...]], ...] = (
            ("faster", (faster,)),
            ("cascade", (cascade,)),
            ("mask", (box, mask)),
            ("cascade_mask", (cascade_box, cascade_mask)),
        )
        scores += [Score("cotnet_coco", metric, values, None, "90,000 steps of 16") for metric, values in found]
    return Published(sizes, tuple(scores))


PUBLISHED: dict[str, Published] = {
    "resnet50": Published(
        (Size("botnet", 1024, 25.5, 85.4),),
        (
            Score("bossnas", "imagenet", (77.7,), 224, "BoTNet's 200 epochs"),
            Score("distribuuuu", "imagenet", (77.252, 93.430), 224, "100 epochs"),
        ),
    ),
    "botnet50": Published(
        (Size("botnet", 1024, 20.8, 102.98),),
        (Score("bossnas", "imagenet", (78.3,), 224, "200 epochs"),),
    ),
    "botnet152": Published((), (Score("botnet", "mask", (49.5, 43.7), 1280, "72 epochs"),)),
    "botnet200": Published((), (Score("botnet", "mask", (49.7, 44.4), 1280, "72 epochs"),)),
    "botnet_s1_50": Published(
        (Size("later", 224, 20.8, 4.27, _S1_MACS),),
        (
            Score("levit", "imagenet", (79.1,), 224, "200 epochs"),
            Score("distribuuuu", "imagenet", (77.604, 93.682), 224, "100 epochs"),
        ),
    ),
    "botnet_t3": _training(33.5, 33.66, (224, 7.3, (81.7, 95.8))),
    "botnet_t4": _training(54.7, 54.90, (224, 10.9, (82.8, 96.3))),
    "botnet_t5": _training(75.1, 75.45, (256, 19.3, ())),
    "botnet_t6": _training(53.9, 54.23, (320, 23.3, ())),
    "botnet_t7": _training(75.1, 75.50, (320, 30.9, (84.2, 96.9)), (384, 45.8, (84.7, 97.0))),
    "coatnet_0": Published(
        (Size("coatnet", 224, 25, 4.2), Size("coatnet", 384, 25, 13.4)),
        (
            Score("coatnet", "imagenet", (81.6,), 224),
            Score("coatnet", "imagenet", (83.9,), 384),
            Score("keras", "imagenet", (82.79,), 224, "305 epochs"),
            Score("keras", "imagenet", (80.48,), 160, "105 epochs"),
        ),
    ),
    "coatnet_1": _coatnet(42, (224, 8.4, 83.3, None), (384, 27.4, 85.1, None)),
    "coatnet_2": _coatnet(75, (224, 15.7, 84.1, 87.1), (384, 49.8, 85.7, 87.1), (512, 96.7, 85.9, 87.3)),
    "coatnet_3": _coatnet(168, (224, 34.7, 84.5, 87.6), (384, 107.4, 85.8, 87.6), (512, 203.1, 86.0, 87.9)),
    "coatnet_4": Published(
        (Size("coatnet", 384, 275, 189.5), Size("coatnet", 512, 275, 360.9)),
        (
            Score("coatnet", "imagenet", (87.9,), 384, "ImageNet-21k first"),
            Score("coatnet", "imagenet", (88.1,), 512, "ImageNet-21k first"),
            Score("coatnet", "imagenet", (88.4,), 384, "ImageNet-21k first, 150 epochs with RandAugment"),
            Score("coatnet", "imagenet", (88.56,), 512, "ImageNet-21k first, 150 epochs with RandAugment"),
            *_jft("JFT-300M", (512, 89.11)),
        ),
    ),
    "coatnet_5": Published((Size("coatnet", 512, 688, 812),), _jft("JFT-300M", (512, 89.77))),
    "coatnet_6": Published((Size("coatnet", 512, 1470, 1521, _SIX),), _jft("JFT-3B", (512, 90.45))),
    "coatnet_7": Published((Size("coatnet", 512, 2440, 2586),), _jft("JFT-3B", (512, 90.88))),
    "coatnet_0_dw": _coatnet(25, (224, 4.6, 82.0, None)),
    "coatnet_1_dw": _coatnet(42, (224, 8.8, 83.5, None)),
    "coatnet_2_dw": _coatnet(75, (224, 16.6, 84.1, None)),
    "coatnet_3_dw": Published(
        (Size("coatnet", 384, 168, 114), Size("coatnet", 512, 168, 214)),
        _jft("JFT-300M", (384, 88.52), (512, 88.81)),
    ),
    "convmixer_1536_20": _convmixer(51.6, 81.37, "convmixer_readme"),
    "convmixer_1024_20": _convmixer(24.4, 76.94, "convmixer_readme"),
    "convmixer_768_32": _convmixer(21.1, 80.16, "convmixer_readme"),
    "convmixer_768_32_k3_p14": _convmixer(20.5),
    "convmixer_1024_16": _convmixer(19.4),
    "convmixer_1024_12": _convmixer(14.6, 77.75),
    "convmixer_512_16": _convmixer(5.4, 73.76),
    "convmixer_512_12": _convmixer(4.2),
    "convmixer_256_8": Published(
        (Size("convmixer_cifar", 32, 0.594),),
        (Score("convmixer_cifar", "cifar10", (92.60,), 32, "25 epochs"),),
    ),
    "convmixer_256_8_k9_p1": Published(
        (Size("convmixer_15", 32, 0.707),),
        (
            Score("convmixer_15", "cifar10", (96.03,), 32, "200 epochs, the paper"),
            Score("convmixer_15", "cifar10", (95.89,), 32, "200 epochs, a user's run"),
        ),
    ),
    "cotnet50": _cotnet("cotnet50", 22.2, (224, 224, 3.3, 81.3, 95.6)),
    "cotnet50_static": Published((Size("cotnet", 224, 17.1),)),
    "cotnet50_dynamic": Published((Size("cotnet", 224, 20.3),)),
    "cotnet50_linear": Published((Size("cotnet", 224, 20.3),)),
    "cotnet101": _cotnet("cotnet101", 38.3, (224, 224, 6.1, 82.8, 96.2)),
    "cotnext50": _cotnet("cotnext50", 30.1, (224, 224, 4.3, 82.1, 95.9)),
    "cotnext101": _cotnet("cotnext101", 53.4, (224, 224, 8.2, 83.2, 96.4)),
    "se_cotnetd50": _cotnet("se_cotnetd50", 23.1, (224, 224, 4.1, 81.6, 95.8)),
    "se_cotnetd101": _cotnet("se_cotnetd101", 40.9, (224, 224, 8.5, 83.2, 96.5)),
    # The README has 17.0 beside 224 pixels, which are the multiply-adds at 256.
    "se_cotnetd152": _cotnet("se_cotnetd152", 55.8, (224, 256, 17.0, 84.0, 97.0), (320, 320, 26.5, 84.6, 97.1)),
}
"""What is published of each network, by its name in the zoo."""


_NOTES = (
    ("*_pico", "Ours, for CPUs and tests: no paper has it."),
    ("*14_cifar", "Ours, for images of 32 pixels: no paper has it."),
    (
        "resnet?[!4]*",
        "The stride of a block is in its 3x3 convolution, as in today's ResNets; the paper has it in the 1x1.",
    ),
    ("nonlocal_resnet50", "The block stands before the last one of c4, as in its paper."),
    ("nonlocal_resnet50_c3_3", "The block stands in c3 behind block 3."),
    ("botnet50_[01][01]1", "The layout study: which blocks of the last stage attend, one digit for each."),
    ("botnet50_content", "The position study: content alone."),
    ("botnet50_relative", "The position study: positions alone."),
    ("botnet50_content_absolute", "The position study: content and absolute positions."),
    ("botnet50_content_relative", "The position study: content and relative positions, which is botnet50."),
    ("*_listing*", "A public listing, not the network of the paper: for weights that were trained with it."),
    ("*bot*_256", "timm's own design after BoTNet: no paper has it."),
    ("*_lucidrains*", "lucidrains' port: a 3x3 convolution in the strided shortcut, which the paper does not have."),
    ("botnet20_lucidrains*", "The example of its README: behind the first stage, two stages are left out."),
    ("botnet_t[3-7]", "Squeeze-and-excitation is in the convolution blocks only, as the paper's text says."),
    ("coatnet_[0-5]", "A hidden layer in the head, which the paper does not mention, makes the size the paper's."),
    ("coatnet_5", "Heads have 64 channels, as in the paper; timm's have 32."),
    ("coatnet_[67]", "The third stage changes its block and width on one grid; here these are two stages."),
    ("coatnet_?_dw", "The stride is in the depthwise convolution, an option of the paper."),
    ("coatnet_[cv][cit]*", "The layout study. The paper shows curves of it, no table."),
    (
        "coatnet_[0-5]_224",
        "timm's reading of the paper: means where it has maxima, the stride in the depthwise layer.",
    ),
    ("coatnet_5_224", "Heads have 32 channels, where the paper has 64."),
    ("coat*_rw*_224", "timm's own design after CoAtNet: no paper has it."),
    ("coat*_rw*_384", "timm's own design after CoAtNet: no paper has it."),
    ("coatnet_nano_cc_224", "timm's own design after CoAtNet: no paper has it. Attention stages open with an MBConv."),
    ("coatnet_rmlp_1_rw_224", "Shortcuts are halved by overlapping 3x3 maxima, beside means of 2x2 in the branch."),
    ("convmixer_768_32*", "Its published weights need ReLU, where the others have GELU."),
    ("convmixer_1024_20_ks9_p14", "timm's name for convmixer_1024_20."),
    ("convmixer_*_1[26]", "The kernel of 8 that some have reaches one cell further down and right."),
    ("cotnet50_static", "The fusion study: the static context alone."),
    ("cotnet50_dynamic", "The fusion study: the dynamic context alone."),
    ("cotnet50_linear", "The fusion study: the sum of both contexts, without a gate."),
    ("se_cotnetd152", "The 17.0 billion multiply-adds that stand beside 224 pixels are those of 256."),
)


def notes_on(name: str) -> tuple[str, ...]:
    """Give what has to be known about a network of the zoo beside its numbers."""
    return tuple(note for pattern, note in _NOTES if fnmatchcase(name, pattern))


_PAPERS = (("seresnet*", "senet"), ("nonlocal*", "nonlocal"), ("botnet*", "botnet"), ("cotnet*", "cotnet"))


def paper_of(name: str, family: str) -> Source:
    """Give the paper that a network of the zoo comes from, or that its designer started from."""
    return SOURCES[next((paper for pattern, paper in _PAPERS if fnmatchcase(name, pattern)), family)]
