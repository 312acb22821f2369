"""Published weights: where they lie, whose they are, and what images go through before them.

The rows are timm's (1.0.31), for the networks that have timm's names here; a test compares each with timm's own table.
Scores are those of timm's results/results-imagenet.csv at aa4b5850, as their authors measured them: not by us.
"""

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from visiongraft.errors import UnknownModel, WeightsError, nearest
from visiongraft.families import convmixer, cotnet
from visiongraft.families.zoo import get_spec, list_models
from visiongraft.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from visiongraft.weights.origins import sources_of

UNKNOWN_LICENCE = "unknown: see card"
"""Where the source's table does not say it, its page about the weights may."""


@dataclass(frozen=True)
class Claim:
    """A score that the authors of weights publish.

    Args:
        image: side of the square images, in pixels.
        top1: share of ImageNet's 50,000 validation images whose most probable class is the true one, in [0, 1].
        top5: share whose true class is among the five most probable, in [0, 1].
    """

    image: int
    top1: float
    top5: float


@dataclass(frozen=True)
class WeightSet:
    """One set of published weights.

    Args:
        network: the name of the network that they are for.
        tag: what tells them from other weights of that network.
        preprocessing: what images go through, at the size of the training's last part.
        test: the same at the size that its authors test at, where that is another one.
        num_classes: how many logits go out; 0 where the weights have no classifier.
        claim: its published score, or None where nobody is known to have measured it.
        licence: of the weights, as their source says.
    """

    network: str
    tag: str
    preprocessing: Preprocessing
    test: Preprocessing | None = None
    num_classes: int = 1000
    claim: Claim | None = None
    licence: str = "apache-2.0"

    @property
    def name(self) -> str:
        """The network's name and the tag, as timm joins them: "coatnet_0_rw_224.sw_in1k"."""
        return f"{self.network}.{self.tag}"

    @property
    def repository(self) -> str:
        """Where it lies on the hub."""
        return f"timm/{self.name}"

    def preprocessing_at(self, image: tuple[int, int]) -> Preprocessing:
        """Give what images of (h, w) pixels go through: what the authors test with, if it is their size for that."""
        if self.test is not None and self.test.image == image:
            return self.test
        return self.preprocessing.at(image)


_HALF = (0.5, 0.5, 0.5)
_COATNET = Preprocessing((224, 224), _HALF, _HALF, "bicubic", 0.95)
_WIDE_CROP = replace(_COATNET, crop=0.9)
_BATCHED = replace(_COATNET, mean=IMAGENET_MEAN, std=IMAGENET_STD)
_SQUASHED = replace(_COATNET, image=(384, 384), crop=1.0, fit="squash")
_CONVMIXER = Preprocessing((224, 224), interpolation="bicubic", crop=0.96)
_RESNET = replace(_CONVMIXER, crop=0.95)
_BOTNET = _RESNET.at((256, 256))
_AT_288 = replace(_RESNET, image=(288, 288), crop=1.0)
_SMALL_CROP = replace(_RESNET, crop=0.875)
_RA_TEST = replace(_AT_288, crop=0.95)
_A1H = replace(_RESNET, image=(176, 176), crop=0.9)
_A1H_TEST = replace(_RESNET, crop=1.0)
_A3 = replace(_RESNET, image=(160, 160))
_TV = replace(_SMALL_CROP, interpolation="bilinear")
_TV2 = _TV.at((176, 176))
_TV2_TEST = replace(_TV, crop=0.965)
_12K = 11821  # classes of the part of ImageNet-22k that has enough images

WEIGHT_SETS = (
    WeightSet("coatnet_nano_rw_224", "sw_in1k", _WIDE_CROP, claim=Claim(224, 0.81704, 0.9565)),
    WeightSet("coatnet_0_rw_224", "sw_in1k", _COATNET, claim=Claim(224, 0.82396, 0.95844)),
    WeightSet("coatnet_1_rw_224", "sw_in1k", _COATNET, claim=Claim(224, 0.8362, 0.96382)),
    WeightSet("coatnet_2_rw_224", "sw_in12k_ft_in1k", _COATNET, claim=Claim(224, 0.86582, 0.97896)),
    WeightSet("coatnet_2_rw_224", "sw_in12k", _COATNET, num_classes=_12K),
    WeightSet("coatnet_3_rw_224", "sw_in12k", _COATNET, num_classes=_12K),
    WeightSet("coatnet_bn_0_rw_224", "sw_in1k", _BATCHED, claim=Claim(224, 0.82394, 0.96194)),
    WeightSet("coatnet_rmlp_nano_rw_224", "sw_in1k", _WIDE_CROP, claim=Claim(224, 0.82064, 0.95874)),
    WeightSet("coatnet_rmlp_1_rw_224", "sw_in1k", _COATNET, claim=Claim(224, 0.8335, 0.96452)),
    WeightSet("coatnet_rmlp_1_rw2_224", "sw_in12k_ft_in1k", _COATNET, claim=Claim(224, 0.8494, 0.96968)),
    WeightSet("coatnet_rmlp_1_rw2_224", "sw_in12k", _COATNET, num_classes=_12K),
    WeightSet("coatnet_rmlp_2_rw_224", "sw_in12k_ft_in1k", _COATNET, claim=Claim(224, 0.86538, 0.97894)),
    WeightSet("coatnet_rmlp_2_rw_224", "sw_in1k", _COATNET, claim=Claim(224, 0.84608, 0.96744)),
    WeightSet("coatnet_rmlp_2_rw_224", "sw_in12k", _COATNET, num_classes=_12K),
    WeightSet("coatnet_rmlp_2_rw_384", "sw_in12k_ft_in1k", _SQUASHED, claim=Claim(384, 0.87388, 0.98312)),
    WeightSet("coatnext_nano_rw_224", "sw_in1k", _WIDE_CROP, claim=Claim(224, 0.81998, 0.95888)),
    WeightSet("botnet26t_256", "c1_in1k", _BOTNET, claim=Claim(256, 0.79256, 0.94528)),
    WeightSet("sebotnet33ts_256", "a1h_in1k", replace(_BOTNET, crop=0.94), claim=Claim(256, 0.81156, 0.9516)),
    WeightSet("eca_botnext26ts_256", "c1_in1k", _BOTNET, claim=Claim(256, 0.79262, 0.946)),
    WeightSet("convmixer_768_32", "in1k", _CONVMIXER, claim=Claim(224, 0.80158, 0.9507), licence="mit"),
    WeightSet("convmixer_1536_20", "in1k", _CONVMIXER, claim=Claim(224, 0.81382, 0.95618), licence="mit"),
    WeightSet("convmixer_1024_20_ks9_p14", "in1k", _CONVMIXER, claim=Claim(224, 0.76944, 0.93364), licence="mit"),
    WeightSet("resnet50", "a1_in1k", _RESNET, _AT_288, claim=Claim(224, 0.80382, 0.94598)),
    WeightSet("resnet50", "a1h_in1k", _A1H, _A1H_TEST),
    WeightSet("resnet50", "a2_in1k", _RESNET, _AT_288),
    WeightSet("resnet50", "a3_in1k", _A3, _RESNET),
    WeightSet("resnet50", "b1k_in1k", _RESNET, _AT_288),
    WeightSet("resnet50", "b2k_in1k", _RESNET, _AT_288),
    WeightSet("resnet50", "c1_in1k", _RESNET, _AT_288),
    WeightSet("resnet50", "c2_in1k", _RESNET, _AT_288),
    WeightSet("resnet50", "d_in1k", _RESNET, _AT_288),
    WeightSet("resnet50", "ram_in1k", _SMALL_CROP, _RA_TEST),
    WeightSet("resnet50", "am_in1k", _SMALL_CROP),
    WeightSet("resnet50", "ra_in1k", _SMALL_CROP, _RA_TEST),
    WeightSet("resnet50", "bt_in1k", _SMALL_CROP, _RA_TEST),
    WeightSet("resnet50", "tv_in1k", _TV, claim=Claim(224, 0.76156, 0.92866), licence="bsd-3-clause"),
    WeightSet("resnet50", "tv2_in1k", _TV2, _TV2_TEST, claim=Claim(224, 0.80846, 0.9543), licence="bsd-3-clause"),
    WeightSet("resnet50", "bamboo", replace(_RESNET, crop=1.0), num_classes=0, licence=UNKNOWN_LICENCE),
    WeightSet("resnet50", "fb_ssl_yfcc100m_ft_in1k", _TV, licence="cc-by-nc-4.0"),
    WeightSet("resnet50", "fb_swsl_ig1b_ft_in1k", _TV, licence="cc-by-nc-4.0"),
    WeightSet("resnet50", "gluon_in1k", _SMALL_CROP, claim=Claim(224, 0.7758, 0.93704)),
    WeightSet("resnet101", "a1h_in1k", _RESNET, _AT_288),
    WeightSet("resnet101", "a1_in1k", _RESNET, _AT_288),
    WeightSet("resnet101", "a2_in1k", _RESNET, _AT_288),
    WeightSet("resnet101", "a3_in1k", _A3, _RESNET),
    WeightSet("resnet101", "tv_in1k", _TV, claim=Claim(224, 0.77404, 0.93552), licence="bsd-3-clause"),
    WeightSet("resnet101", "tv2_in1k", _TV2, _TV2_TEST, licence="bsd-3-clause"),
    WeightSet("resnet101", "gluon_in1k", _SMALL_CROP),
    WeightSet("resnet152", "a1h_in1k", _RESNET, _AT_288),
    WeightSet("resnet152", "a1_in1k", _RESNET, _AT_288),
    WeightSet("resnet152", "a2_in1k", _RESNET, _AT_288),
    WeightSet("resnet152", "a3_in1k", _A3, _RESNET),
    WeightSet("resnet152", "tv_in1k", _TV, claim=Claim(224, 0.7833, 0.94046), licence="bsd-3-clause"),
    WeightSet("resnet152", "tv2_in1k", _TV2, _TV2_TEST, licence="bsd-3-clause"),
    WeightSet("resnet152", "gluon_in1k", _SMALL_CROP),
    WeightSet("seresnet50", "a1_in1k", _RESNET, _AT_288),
    WeightSet("seresnet50", "a2_in1k", _RESNET, _AT_288),
    WeightSet("seresnet50", "a3_in1k", _A3, _RESNET),
    WeightSet("seresnet50", "ra2_in1k", _SMALL_CROP, _RA_TEST, claim=Claim(224, 0.8026, 0.95068)),
)
"""All that timm publishes for these networks; of several sets for one network, timm's own default comes first."""

_UNPUBLISHED = {
    **dict.fromkeys((f"coatnet_{size}_224" for size in range(6)), _COATNET),
    "botnet50ts_256": _BOTNET,
    "coatnet_pico_rw_224": _COATNET,
    "coatnet_nano_cc_224": _COATNET,
    "coatnet_rmlp_0_rw_224": _COATNET,
    "coatnet_rmlp_3_rw_224": _COATNET,
    "seresnet101": _SMALL_CROP,
    "seresnet152": _SMALL_CROP,
}
"""What timm trains the networks with that it publishes no weights for."""


_COTNET = Preprocessing((224, 224))
_CIFAR = Preprocessing((32, 32), (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616), crop=1.0)
_LISTING = replace(_CIFAR, std=(0.2023, 0.1994, 0.2010))
_AUTHORS = {
    **dict.fromkeys((each.name for each in cotnet.PUBLISHED), _COTNET),
    "se_cotnetd152": replace(_COTNET, image=(256, 256), crop=0.888),
    **dict.fromkeys((each.name for each in convmixer.SPECS if each.image == (224, 224)), _CONVMIXER),
    **dict.fromkeys((each.name for each in convmixer.SPECS if each.image == (32, 32)), _CIFAR),
    **dict.fromkeys(("botnet50_listing_small", "botnet50_listing_1head_small"), _LISTING),
}
"""What the papers' authors, and those of public listings, test with as their code has it: for weights on no hub."""


def find_weight_sets(pattern: str = "*") -> list[WeightSet]:
    """Give the published sets whose network, or whose name with the tag, matches a pattern such as "coatnet_*"."""
    wanted = pattern.lower()
    return [each for each in WEIGHT_SETS if fnmatchcase(each.network, wanted) or fnmatchcase(each.name, wanted)]


def get_weight_set(name: str) -> WeightSet:
    """Give the published weights called `name`.

    Args:
        name: of a network, for the first of its sets, or with a tag: "coatnet_0_rw_224.sw_in1k".

    Raises:
        UnknownModel: if no network, or no set of it, has that name; the error suggests near names.
        WeightsError: if nobody published weights for that network.
    """
    network, _, tag = name.lower().partition(".")
    get_spec(network)
    sets = {each.tag: each for each in WEIGHT_SETS if each.network == network}
    if tag and not sets:
        raise UnknownModel(
            f"{network} has no published weights, and so none with the tag {tag!r}. Leave out what is behind the dot."
        )
    if not sets and (kept := [each for each in sources_of(network) if each != "timm"]):
        raise WeightsError(
            f"Weights of {network} cannot be fetched. A file with them becomes ours with"
            f" `graft convert FILE OUT.safetensors --from {kept[0]} --model {network}`."
        )
    if not sets:
        with_some = list(dict.fromkeys(each.network for each in WEIGHT_SETS))
        raise WeightsError(
            f"No weights are published for {network}.{nearest(network, with_some)} `graft list --pretrained` shows"
            " for which there are some; weights of your own are given as a file."
        )
    if tag and tag not in sets:
        raise UnknownModel(
            f"{network} has no published weights with the tag {tag!r}.{nearest(tag, sets)}"
            f" There are: {', '.join(sets)}."
        )
    return sets[tag] if tag else next(iter(sets.values()))


def names_weights(name: str) -> bool:
    """Tell whether a text names a network of the zoo, with a tag or without, and not a file."""
    network = name.lower().partition(".")[0]
    return network.removesuffix("_small") in list_models() and not name.lower().endswith(WEIGHT_FILES)


WEIGHT_FILES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar", ".pkl", ".npz")
"""How the names of weight files end, and those of networks with a tag do not."""


def preprocessing_for(network: str) -> Preprocessing | None:
    """Give what images go through for a network, as its source trains it; None where that is unknown."""
    for each in WEIGHT_SETS:
        if each.network == network:
            return each.preprocessing
    return _UNPUBLISHED.get(network) or _AUTHORS.get(network)


def preprocessing_of(weights: str, image: tuple[int, int]) -> tuple[Preprocessing, bool]:
    """Give what images go through before weights that came as a file, and whether that is a guess.

    Args:
        weights: the name of their network, perhaps with the tag of the published ones that they are.
        image: height and width in pixels that the network is shown.

    Returns:
        With a tag, what belongs to these weights. Without one, that of the first of the network's published weights,
        which is a guess where others of them have another, or where ImageNet's usual one stands in for none.

    Raises:
        UnknownModel: if there are no published weights with that tag.
        WeightsError: if there are none for that network.
    """
    network, _, tag = weights.lower().partition(".")
    if tag:
        return get_weight_set(weights).preprocessing_at(image), False
    known = preprocessing_for(network)
    ways = {each.preprocessing.at(image) for each in find_weight_sets(network)}
    return (known or Preprocessing()).at(image), known is None or len(ways) > 1
