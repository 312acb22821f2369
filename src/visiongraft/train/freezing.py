"""Parts of a network that keep what they have learnt."""

from fnmatch import fnmatchcase

import torch

from visiongraft.errors import GraftError, nearest
from visiongraft.network import FeatureInfo, Network
from visiongraft.spec import Backbone
from visiongraft.train.recipe import NONE


def freeze(network: Network, names: str) -> None:
    """Let parts of a network keep their weights.

    Args:
        network: whose parameters need no gradient from now on, where a part has them.
        names: the parts, separated by commas: "stem", "stage1" and so on, "head", or patterns of parameters' names
            such as "stages.0.*"; or "none".

    Raises:
        GraftError: if a name is of no part, or nothing would be left to learn.
    """
    if names == NONE:
        return
    for name in (each.strip() for each in names.split(",")):
        pattern = _patterns(network).get(name, name)
        found = [each for key, each in network.named_parameters() if fnmatchcase(key, pattern)]
        if not found:
            parts = list(_patterns(network))
            raise GraftError(
                f"--freeze {name!r} is no part of {network.spec.name}.{nearest(name, parts)} Its parts are"
                f" {', '.join(parts)}; a pattern such as stages.0.* chooses parameters by their names."
            )
        for each in found:
            each.requires_grad = False
    if not any(each.requires_grad for each in network.parameters()):
        raise GraftError(f"--freeze {names!r} leaves nothing of {network.spec.name} to learn. Leave out a part.")


def check_parts(spec: Backbone, names: str) -> None:
    """Refuse what `freeze` would, before there is a network."""
    if names != NONE:
        with torch.device("meta"):
            freeze(Network(spec), names)


def set_learning(network: Network) -> None:
    """Put a network into train mode, but for modules that are frozen as a whole.

    These compute as in evaluation: batch-norm by the statistics that it has, which stay, and nothing is dropped.
    """
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(each.requires_grad for each in parameters):
            module.eval()


def _patterns(network: Network) -> dict[str, str]:
    """Give the pattern of each part's parameters."""
    stages = [each for each in FeatureInfo.of(network.spec).module_name() if each != "stem"]
    inner = {name: f"stages.{place}.*" for place, name in enumerate(stages)}
    return {"stem": "stem.*", **inner, "head": "head.*"}
