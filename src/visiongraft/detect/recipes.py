"""The set-ups of the papers for detectors, by name: sizes, scales, length and rates, each with where it comes from."""

from dataclasses import dataclass, replace

from visiongraft.detect.value import Heads, Kind, Norm
from visiongraft.errors import GraftError, nearest
from visiongraft.train.recipe import Recipe
from visiongraft.train.recipes import UNMEASURED


@dataclass(frozen=True)
class Sizes:
    """How large images are shown.

    Args:
        min_size: as in `Detector`: pixels of the shorter side, from which training draws if there are several.
        max_size: pixels that the longer side is at most.
        jitter: smallest and largest factor by which training scales an image around that size, drawn for each image;
            what is then too large is cropped. (1.0, 1.0) for none.
    """

    min_size: tuple[int, ...]
    max_size: int
    jitter: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            GraftError: if it is none.
        """
        smallest, largest = self.jitter
        if not 0.0 < smallest <= largest:
            raise GraftError(
                f"A scale jitter goes from a number above 0 to one that is not smaller, not {self.jitter}."
            )


@dataclass(frozen=True)
class DetectionRecipe:
    """How a detector is trained, with where that comes from.

    Args:
        name: on the command line.
        recipe: steps, rates and the like; what it says of crops, mixing and labels is of classification alone.
        kind: of the detector.
        backbone: a name of the zoo.
        sizes: of the images.
        norm: as in `Detector`.
        heads: as in `Detector`.
        source: the paper with its section, or the repository.
        published: what the source says that it gives.
        measured: what it gave here, or that it is unmeasured.
        departures: where it differs from the source, one sentence each.
    """

    name: str
    recipe: Recipe
    kind: Kind
    backbone: str
    sizes: Sizes
    norm: Norm
    heads: Heads
    source: str
    published: str
    measured: str = UNMEASURED
    departures: tuple[str, ...] = ()


_COCO_1X = Recipe(
    epochs=12,
    batch_size=16,
    opt="sgd",
    lr=0.02,
    momentum=0.9,
    weight_decay=1e-4,
    clip_grad=0.0,
    sched="late_steps",
    warmup_epochs=0.14,
    warmup_lr=2e-5,
    label_smoothing=0.0,
    drop_path=0.0,
    grow_from=1.0,
    grow_to=1.0,
    rotation=0.0,
    color_jitter=0.0,
    val_every=1,
)
"""90,000 steps of 16 images of COCO, which are 12.3 epochs of its 117,266 images with objects."""

_BOTNET = DetectionRecipe(
    name="botnet_72_strong",
    recipe=replace(_COCO_1X, epochs=72),
    kind="mask_rcnn",
    backbone="botnet50",
    sizes=Sizes((1024,), 1024, (0.1, 2.0)),
    norm="sync",
    heads="normalised",
    source="arXiv:2101.11605, section 4",
    published="BoTNet-200 at 1280 pixels in 72 epochs: box AP 49.7, mask AP 44.4 (abstract)",
    departures=(
        "Batch, rates and weight decay are Detectron2's for 16 images.",
        "Pyramid and heads are normalised by groups.",
    ),
)

RECIPES: dict[str, DetectionRecipe] = {
    each.name: each
    for each in (
        *(
            replace(
                _BOTNET,
                name=f"botnet_{epochs}",
                recipe=replace(_COCO_1X, epochs=epochs),
                sizes=Sizes((1024,), 1024, (0.8, 1.25)),
                published="not known here",
                departures=(*_BOTNET.departures, "The jitter of 0.8 to 1.25 is as we remember it, and not looked up."),
            )
            for epochs in (12, 24, 36, 72)
        ),
        _BOTNET,
        DetectionRecipe(
            name="cotnet_1x",
            recipe=_COCO_1X,
            kind="mask_rcnn",
            backbone="cotnet50",
            sizes=Sizes((640, 672, 704, 736, 768, 800), 1333),
            norm="sync",
            heads="normalised",
            source="github.com/JDAI-CV/CoTNet-ObjectDetection-InstanceSegmentation, README",
            published="CoTNet-50: box AP 44.06, mask AP 39.28; CoTNet-101: 46.17, 40.86",
            departures=(
                "12 epochs for 90,000 steps, which are 12.3.",
                "Pyramid and heads are normalised by groups, and not by the batch over all devices.",
                "Statistics of batch normalisations are the running ones, and not computed anew at the end.",
                "The warm-up of 1,000 steps and the weight decay are Detectron2's.",
            ),
        ),
    )
}
"""The recipes by name."""


def get_recipe(name: str) -> DetectionRecipe:
    """Give the recipe called `name`.

    Raises:
        GraftError: if there is none.
    """
    if name not in RECIPES:
        raise GraftError(f"No recipe for detectors is named {name!r}.{nearest(name, RECIPES)}")
    return RECIPES[name]
