"""How detectors are trained, by name: the set-ups of papers, and one for few images, each with where it comes from."""

from dataclasses import dataclass, fields, replace

from visiongraft.detect.course import DetectionCourse
from visiongraft.detect.value import Heads, Kind, Norm
from visiongraft.errors import GraftError, nearest
from visiongraft.train.recipes import UNMEASURED

AUTO = "auto"
"""Says of anchors that they are those of the kind of detector."""

DEFAULT = "small"
"""The recipe of a training that names none."""


@dataclass(frozen=True)
class DetectionRecipe:
    """How a detector is trained, with where that comes from.

    Args:
        name: on the command line.
        course: steps, rates, and how images are shown.
        kind: of the detector; None for one that suits the data.
        backbone: a name of the zoo.
        min_size: as in `Detector`: pixels of the shorter side, from which training draws if there are several.
        max_size: pixels that the longer side is at most.
        norm: as in `Detector`; None for "frozen" with trained weights, and else "sync".
        heads: as in `Detector`.
        source: the paper with its section, or the repository.
        published: what the source says that it gives.
        width: as in `Detector`.
        regions: as in `Detector`.
        anchors: as in `Detector`.
        ratios: as in `Detector`.
        proposals: as in `Detector`.
        measured: what it gave here, or that it is unmeasured.
        departures: where it differs from the source, one sentence each.
    """

    name: str
    course: DetectionCourse
    kind: Kind | None
    backbone: str
    min_size: tuple[int, ...]
    max_size: int
    norm: Norm | None
    heads: Heads
    source: str
    published: str
    width: int = 256
    regions: int = 512
    anchors: tuple[float, ...] = ()
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    proposals: int = 2000
    measured: str = UNMEASURED
    departures: tuple[str, ...] = ()

    @property
    def options(self) -> dict[str, object]:
        """The options of `graft detect train` whose defaults it gives."""
        own = {name: getattr(self, name) for name in ("max_size", "heads", "width", "regions", "proposals")}
        shown = {
            "min_size": ",".join(map(str, self.min_size)),
            "anchors": listed(self.anchors) or AUTO,
            "ratios": listed(self.ratios),
        }
        names = (
            each.name for each in fields(DetectionCourse) if each.name != "layer_decay"
        )  # which is for classifiers
        chosen = {name: getattr(self.course, name) for name in names}
        return chosen | own | shown


def listed(factors: tuple[float, ...]) -> str:
    """Write numbers as an option takes them.

    >>> listed((0.5, 1.0, 2.0))
    '0.5,1,2'
    """
    return ",".join(f"{each:g}" for each in factors)


_SMALL = DetectionRecipe(
    name=DEFAULT,
    course=DetectionCourse(),
    kind=None,
    backbone="botnet_pico",
    min_size=(256,),
    max_size=512,
    norm=None,
    heads="plain",
    width=64,
    regions=128,
    source="found here: what some hundred images and two cores of a CPU give from random weights",
    published="nothing",
)

_NUCLEI = DetectionRecipe(
    name="nuclei_cpu",
    course=DetectionCourse(
        epochs=6,
        opt="muon",
        lr=2e-3,
        model_ema_decay=0.98,
        precision="bfloat16",
        val_every=6,
        keep="last",
    ),
    kind="mask_rcnn",
    backbone="botnet_pico",
    min_size=(256,),
    max_size=512,
    norm=None,
    heads="plain",
    width=64,
    regions=128,
    anchors=(2.5, 4.0),
    ratios=(1.0,),
    proposals=500,
    source="found here: 265 microscope images, random weights, two cores of a CPU, and at most 15 minutes",
    published="nothing",
    measured="AP50 of masks 0.854 and 0.857 in 485 and 451 s with start and report (seeds 0 and 1; AMD EPYC, 2"
    " threads, 2026-11-22): benchmarks/recipes.jsonl",
)

_BCCD = replace(
    _NUCLEI,
    name="bccd_cpu",
    course=replace(_NUCLEI.course, epochs=8, val_every=8),
    kind="faster_rcnn",
    min_size=(192,),
    max_size=256,
    anchors=(8.0,),
    source="found here: 205 blood smears, random weights, two cores of a CPU, and at most 15 minutes",
    measured="AP50 of boxes 0.878 and 0.893 in 232 and 244 s with start and report (seeds 0 and 1; AMD EPYC, 2"
    " threads, 2026-11-22): benchmarks/recipes.jsonl",
)

_COCO_1X = DetectionCourse(
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
    val_every=1,
)
"""90,000 steps of 16 images of COCO, which are 12.3 epochs of its 117,266 images with objects."""

_BOTNET = DetectionRecipe(
    name="botnet_72_strong",
    course=replace(_COCO_1X, epochs=72, jitter="0.1,2.0"),
    kind="mask_rcnn",
    backbone="botnet50",
    min_size=(1024,),
    max_size=1024,
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
        _SMALL,
        _NUCLEI,
        _BCCD,
        *(
            replace(
                _BOTNET,
                name=f"botnet_{epochs}",
                course=replace(_COCO_1X, epochs=epochs, jitter="0.8,1.25"),
                published="not known here",
                departures=(*_BOTNET.departures, "The jitter of 0.8 to 1.25 is as we remember it, and not looked up."),
            )
            for epochs in (12, 24, 36, 72)
        ),
        _BOTNET,
        DetectionRecipe(
            name="cotnet_1x",
            course=_COCO_1X,
            kind="mask_rcnn",
            backbone="cotnet50",
            min_size=(640, 672, 704, 736, 768, 800),
            max_size=1333,
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
