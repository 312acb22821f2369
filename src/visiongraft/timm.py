"""The zoo in timm's shape: importing this module registers every network with timm, as `vg_` and its name.

    import timm
    import visiongraft.timm

    timm.create_model("vg_cotnet50", num_classes=10)

What a registered network has beyond `Network` is what timm's own have and the rest of this package has no use for.
"""

import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from visiongraft.blocks.positions import PositionTables
from visiongraft.errors import MissingExtra, SpecError, UnknownModel, WeightsError, nearest
from visiongraft.families.zoo import customized, get_spec, list_models
from visiongraft.kernels.types import Grid
from visiongraft.network import CLASSIFIER, FeatureExtractor, Network, chosen_maps
from visiongraft.preprocessing import Interpolation, Preprocessing
from visiongraft.spec import Backbone, way_to_other_strides
from visiongraft.surgery.foreign import LIBRARIES, Foreign
from visiongraft.train.synced import FOLLOWED
from visiongraft.weights.convert import convert, fitting_form, made_ours
from visiongraft.weights.faults import checked, faults_of
from visiongraft.weights.folder import save_pretrained
from visiongraft.weights.hub import fetch
from visiongraft.weights.libraries import PUBLISHERS
from visiongraft.weights.origins import SOURCES
from visiongraft.weights.publication import Keeping, Publication
from visiongraft.weights.renaming import wanted_by
from visiongraft.weights.sources import WeightSet, get_weight_set
from visiongraft.weights.timm_config import PREFIX, published_cfgs

try:
    from timm.layers.norm_act import BatchNormAct2d
    from timm.models import (
        FeatureInfo,
        build_model_with_cfg,
        generate_default_cfgs,
        get_arch_pretrained_cfgs,
        get_pretrained_cfg,
        is_model,
        register_model,
    )
    from timm.models import create_model as create_timm_model
    from timm.models import list_models as timm_models
    from timm.models._input import update_model_input_size  # its own resizable networks report their size by it
except ModuleNotFoundError as error:
    if str(error.name).partition(".")[0] != "timm":
        raise
    raise MissingExtra(
        "visiongraft.timm needs timm 1.0.31 or newer. Install it with: pip install 'visiongraft[timm]'"
    ) from None

__all__ = ["TimmFeatures", "TimmNetwork", "default_cfgs"]

default_cfgs = generate_default_cfgs(dict(published_cfgs()))
"""What timm knows of each network: its published weights, their images, and the ends of its modules."""


class TimmNetwork(Network):
    """A network that `timm.create_model` makes.

    Args:
        spec: a network of the zoo.
        num_classes: how many logits go out; 0 leaves out the classifier.
        in_chans: channels of the images.
        img_size: native size in pixels, one number or (height, width). Any other size works as well.
        drop_rate: probability of dropping a feature before the classifier while training, in [0, 1).
        drop_path_rate: probability of dropping the last residual branch while training, in [0, 1).
        global_pool: "avg", or "" for the last feature map itself, which goes with no classifier.
        device: where the weights are.
        dtype: of the weights.

    Arguments that are None leave what the spec says.
    """

    pretrained_cfg: dict[str, Any]  # what timm's builder leaves here

    def __init__(
        self,
        spec: Backbone,
        *,
        num_classes: int | None = None,
        in_chans: int | None = None,
        img_size: int | Grid | None = None,
        drop_rate: float | None = None,
        drop_path_rate: float | None = None,
        global_pool: str = "avg",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        spec = customized(
            spec,
            num_classes=num_classes,
            in_chans=in_chans,
            image=img_size,
            dropout=drop_rate,
            drop_path=drop_path_rate,
        )
        _check_pool(global_pool, spec.head.num_classes)
        with nullcontext() if device is None else torch.device(device):
            super().__init__(spec)
        self.to(dtype=dtype)
        self.global_pool = global_pool

    @property
    def in_chans(self) -> int:
        """Channels of the images."""
        return self.spec.in_chans

    @property
    def feature_info(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Channels, strides and modules of the maps after the stem and each stage, as timm's networks list them."""
        stem = f"stem.{len(self.stem) - 1}" if isinstance(self.stem, nn.Sequential) else "stem"
        modules = [stem, *(f"stages.{index}" for index in range(len(self.stages)))]
        if self.spec.head.cell_hidden is not None:
            modules[-1] = "head.cell_hidden"
        return [
            {"num_chs": each.num_chs, "reduction": each.reduction, "module": module}
            for each, module in zip(super().feature_info.features, modules, strict=True)
        ]

    def forward_head(self, maps: Tensor, *, pre_logits: bool = False) -> Tensor:
        """Give logits, or with `pre_logits` what the classifier would see; without pooling, normalised maps."""
        if self.global_pool:
            return super().forward_head(maps, pre_logits=pre_logits)
        return self.head.norm(maps) if self.head.norm_of == "cells" else maps

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a fresh classifier in the place of the present one; 0 leaves it out. `global_pool` as in the class."""
        pool = self.global_pool if global_pool is None else global_pool
        _check_pool(pool, num_classes)
        super().reset_classifier(num_classes)
        self.global_pool = pool

    def set_input_size(self, img_size: int | Grid | None = None) -> None:
        """Store the position tables for another image size; None changes nothing. They become new parameters."""
        if img_size is not None:
            super().set_input_size(img_size)
            update_model_input_size(self, self.spec.image)

    def save_pretrained(self, folder: str | Path, *, classes: Sequence[str] = ()) -> Path:
        """Write the network into a folder that `timm.create_model("local-dir:...")` and `from_pretrained` read.

        Args:
            folder: where; it is made if it is not there.
            classes: the name of each class, as many as there are logits, or none.
        """
        cfg = self.pretrained_cfg
        preprocessing = Preprocessing(
            self.spec.image,
            mean=cfg["mean"],
            std=cfg["std"],
            interpolation=cfg["interpolation"],
            crop=cfg["crop_pct"],
            fit="squash" if cfg["crop_mode"] == "squash" else "crop",
        )
        return save_pretrained(self, folder, preprocessing=preprocessing, classes=classes)

    def prune_intermediate_layers(
        self,
        indices: int | Sequence[int] = 1,
        prune_norm: bool = False,  # noqa: FBT001, FBT002 - timm's own signature
        prune_head: bool = True,  # noqa: FBT001, FBT002 - timm's own signature
    ) -> tuple[int, ...]:
        """Leave out what lies behind the last of the chosen maps.

        Args:
            indices: as in `forward_intermediates`.
            prune_norm: leave out the head's normalisation.
            prune_head: leave out the head, even where every stage stays.

        Returns:
            The chosen maps, counted from the stem.
        """
        chosen = chosen_maps(self.spec, "indices", indices)
        kept = max(*chosen, 1)  # a backbone has at least one stage
        head, cut = self.spec.head, kept < len(self.stages)
        bare = cut or prune_head
        without_norm = cut or (prune_norm if head.norm_of == "cells" else prune_head)
        self.stages = self.stages[:kept]
        self.spec = _shortened(self.spec, kept)
        if cut:
            head = replace(head, cell_hidden=None)
            self.head.cell_hidden = nn.Identity()
        if bare:
            head = replace(head, hidden=None)
            self.head.hidden = nn.Identity()
        if without_norm:
            head = replace(head, norm="none")
            self.head.norm = nn.Identity()
        self.spec = replace(self.spec, head=head)
        if bare:
            self.head.num_features = self.num_features
            self.reset_classifier(0, "")
        return chosen


class TimmFeatures(FeatureExtractor):
    """What `timm.create_model(..., features_only=True)` makes."""

    def __init__(self, network: TimmNetwork, out_indices: int | Sequence[int]) -> None:
        super().__init__(network, out_indices)
        found = FeatureInfo(network.feature_info, self.feature_info.out_indices)
        self.feature_info = found  # type: ignore[assignment]  # timm's own, as its users expect


def _shortened(spec: Backbone, stages: int) -> Backbone:
    """Give the first stages of a network, each block with the rate of stochastic depth that it had."""
    short = replace(spec, stages=spec.stages[:stages])
    return replace(short, drop_path=spec.drop_path * (short.depth - 1) / max(spec.depth - 1, 1))


def _ours(tensors: dict[str, Tensor], network: TimmNetwork, *, features_only: bool) -> dict[str, Tensor]:
    """Give what timm has read as our tensors: by our names, with the position tables of the network's own grids.

    Where timm does not take the classifier, it would fill what it finds and leave all else as it is, without a word.

    Raises:
        WeightsError: if these are not all tensors of the network, by our names or those of timm's own, and no others.
    """
    spec, tensors = network.spec, dict(checked(tensors))
    ours = wanted_by(network, {name: name for name, _ in network.named_children()}, called=spec.name)
    if 2 * len(ours.keys() & tensors.keys()) < len(ours) and spec.name in SOURCES["timm"]:
        form = fitting_form(tensors, source="timm", name=spec.name, image=spec.image)
        tensors = convert(tensors, source="timm", name=form)
    fresh = features_only or network.num_classes != network.pretrained_cfg["num_classes"]
    left_out = CLASSIFIER if fresh or not network.num_classes else "(nothing)"
    wanted = {name: each for name, each in ours.items() if not name.startswith(left_out)}
    given = {name: each for name, each in tensors.items() if not name.startswith(left_out)}
    found = given | _tables_at_the_grids_of(network, given)
    first = f"{network.pretrained_cfg.get('first_conv')}.weight"
    if first in found and found[first].ndim == len(wanted[first].shape):  # timm fits it to other channels
        shape = wanted[first].shape[0], found[first].shape[1], *wanted[first].shape[2:]
        wanted[first] = replace(wanted[first], shape=shape, foreign_shape=shape)
    faults = faults_of(found, wanted)
    if faults.count:
        raise WeightsError(
            f"These weights do not fit {PREFIX}{spec.name}: {faults.in_words(given, wanted)}. Give a file of"
            f" visiongraft for {spec.name}, which `graft convert` makes of others; if it is one with N classes, say"
            " pretrained_cfg_overlay={'num_classes': N, 'file': FILE}."
        )
    return made_ours(found, wanted, called=spec.name)


def _tables_at_the_grids_of(network: Network, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give those of the tensors that are position tables, resampled for the network's own grids."""
    found: dict[str, Tensor] = {}
    for name, module in network.named_modules():
        tables = dict(module.named_parameters(recurse=False)) if isinstance(module, PositionTables) else {}
        given = {key: tensors[f"{name}.{key}"] for key in tables if f"{name}.{key}" in tensors}
        may_be = (each.ndim == tables[key].ndim and each.element_size() > 1 for key, each in given.items())
        if isinstance(module, PositionTables) and given.keys() == tables.keys() and all(may_be):
            other = copy.deepcopy(module)
            for key, each in given.items():
                setattr(other, key, nn.Parameter(each, requires_grad=False))
            found |= {f"{name}.{key}": each for key, each in other.resized(module.grid).items()}
    return found


def _with_file(name: str, choices: Mapping[str, Any]) -> dict[str, Any]:
    """Give timm's arguments with the path of the published weights, fetched, unless they name a source themselves."""
    cfg, overlay = choices.get("pretrained_cfg"), dict(choices.get("pretrained_cfg_overlay") or {})
    tag = cfg if isinstance(cfg, str) else ""
    if (cfg and not tag) or overlay.keys() & {"state_dict", "file", "url", "hf_hub_id"}:
        return dict(choices)
    weights = get_weight_set(f"{name}.{tag}" if tag else name)
    path = fetch(weights, folder=choices.get("cache_dir"))
    return {**choices, "pretrained_cfg_overlay": {**overlay, "file": str(path)}}


def _check_pool(global_pool: str, num_classes: int) -> None:
    if global_pool not in ("avg", ""):
        raise SpecError(f"Networks of visiongraft pool by 'avg', or not at all by '', and not by {global_pool!r}.")
    if not global_pool and num_classes:
        raise SpecError(
            f"Without pooling there is no classifier, but num_classes is {num_classes}. Say num_classes=0."
        )


def _check_features(spec: Backbone, kind: object) -> None:
    """Refuse those of timm's feature extractors that call a network's parts one by one, where one is in the head."""
    if spec.head.cell_hidden is not None and kind in ("list", "dict", "hook"):
        raise SpecError(
            f"The last map of {PREFIX}{spec.name} is made by a layer of its head, which feature_cls={kind!r} cannot"
            " take out. Leave feature_cls out, or say 'getter'."
        )


_WORDS = (*list(signature(TimmNetwork).parameters)[1:], "features_only", "out_indices", "feature_cls", "output_stride")
"""What users may ask for; timm itself passes on more."""


def _without_stride(spec: Backbone, choices: Mapping[str, Any]) -> dict[str, Any]:
    """Take out the output stride that timm's users may ask for, once it is known to be the network's own.

    Raises:
        SpecError: if it is another one.
        TypeError: for a word that neither we nor timm's builder know, as timm's own networks do.
    """
    for word in choices:
        if word not in {*_WORDS, *signature(build_model_with_cfg).parameters}:
            raise TypeError(
                f"{PREFIX}{spec.name} takes no {word!r}.{nearest(word, _WORDS)} It takes {', '.join(_WORDS)}."
            )
    own, asked = spec.strides[-1], choices.get("output_stride")
    if asked not in (None, own):
        raise SpecError(
            f"{PREFIX}{spec.name} has an output stride of {own}, and output_stride={asked!r} asks for another:"
            f" {way_to_other_strides()}, to visiongraft.create_model; or leave it out."
        )
    return {name: each for name, each in choices.items() if name != "output_stride"}


def _entrypoint(spec: Backbone) -> Callable[..., nn.Module]:
    """Make the function that timm calls for a name. What it is given goes to timm's builder, and on to the class."""
    name = f"{PREFIX}{spec.name}"
    features = {
        "feature_cls": TimmFeatures,
        "out_indices": tuple(range(len(spec.widths))),
        "flatten_sequential": True,  # for those who ask for one of timm's own feature_cls instead
    }

    def build(*, pretrained: bool = False, **choices: Any) -> nn.Module:  # noqa: ANN401 - timm's convention
        _check_features(spec, choices.get("feature_cls"))
        choices = _without_stride(spec, choices)
        choices = _with_file(spec.name, choices) if pretrained else choices
        return build_model_with_cfg(
            partial(TimmNetwork, spec),
            name,
            pretrained,
            feature_cfg=dict(features),
            pretrained_filter_fn=partial(_ours, features_only=bool(choices.get("features_only"))),
            **choices,
        )

    build.__name__ = build.__qualname__ = name
    build.__module__ = __name__
    build.__doc__ = f"Build {spec.name}, for `timm.create_model`: see `TimmNetwork`."
    return build


def _check_is_model(name: str) -> None:
    if not is_model(name):
        raise UnknownModel(f"timm has no network {name!r}.{nearest(name, timm_models())}")


def _of_timm(spec: Foreign) -> nn.Module:
    """Build a network of timm's for `Foreign("timm:NAME")`, with random weights."""
    name = spec.source.partition(":")[2]
    _check_is_model(name)
    return create_timm_model(name, num_classes=spec.num_classes, in_chans=spec.in_chans)


LIBRARIES["timm"] = _of_timm


def _publication_of_timm(source: str, tag: str, keeping: Keeping) -> Publication:
    """Give weights that timm publishes for a network of its own, by its table; see `load_published`."""
    name = source.partition(":")[2]
    _check_is_model(name)
    known = {each.partition(".")[2]: cfg for each, cfg in get_arch_pretrained_cfgs(name).items()}
    chosen = tag or str(getattr(get_pretrained_cfg(name), "tag", ""))
    cfg, there = known.get(chosen), [each for each, cfg in known.items() if cfg.hf_hub_id]
    if cfg is None or cfg.hf_hub_id != f"timm/{name}.{chosen}" or cfg.interpolation not in get_args(Interpolation):
        told = f" There are: {', '.join(there)}." if there else " It publishes none that can be fetched."
        raise UnknownModel(f"timm has no weights {chosen!r} for {source}.{nearest(chosen, there)}{told}")
    shown = Preprocessing.from_dict(
        {
            "image": cfg.input_size[1:],
            "mean": cfg.mean,
            "std": cfg.std,
            "interpolation": cfg.interpolation,
            "crop": cfg.crop_pct,
            "fit": "squash" if cfg.crop_mode == "squash" else "crop",
        }
    )
    file = fetch(WeightSet(name, chosen, shown), folder=keeping.folder, offline=keeping.offline)
    return Publication(Foreign(source, cfg.num_classes, shown.image, cfg.input_size[0]), file, shown)


PUBLISHERS["timm"] = _publication_of_timm


def _drop_and_act(norm: nn.Module, maps: Tensor) -> Tensor:
    """Do what timm's batch-norm does with its normalised maps."""
    found: Tensor = norm.get_submodule("act")(norm.get_submodule("drop")(maps))
    return found


FOLLOWED[BatchNormAct2d] = _drop_and_act

for _name in list_models():
    _function = register_model(_entrypoint(get_spec(_name)))  # which adds its name to __all__
    setattr(sys.modules[__name__], _function.__name__, _function)
