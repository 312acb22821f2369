"""Parts of a network that keep what they have learnt."""

from fnmatch import fnmatchcase

from torch import nn

from visiongraft.errors import GraftError, nearest
from visiongraft.network import FeatureInfo, Network
from visiongraft.surgery.foreign import Blueprint
from visiongraft.surgery.network import AnyNetwork, body_of, build_empty
from visiongraft.train.recipe import NONE


def freeze(network: AnyNetwork, names: str) -> None:
    """Let parts of a network keep their weights.

    Args:
        network: whose parameters need no gradient from now on, where a part has them.
        names: the parts, separated by commas: "stem", "stage1" and so on, "head", or patterns of parameters' names
            such as "stages.0.*"; or "none". Of a network of others, the names are those of the module inside.

    Raises:
        GraftError: if a name is of no part, or nothing would be left to learn.
    """
    if names == NONE:
        return
    for name in (each.strip() for each in names.split(",")):
        pattern = _patterns(network).get(name, name)
        found = [each for key, each in body_of(network).named_parameters() if fnmatchcase(key, pattern)]
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


def check_parts(spec: Blueprint, names: str) -> None:
    """Refuse what `freeze` would, before there is a network."""
    if names != NONE:
        freeze(build_empty(spec), names)


def set_learning(network: nn.Module) -> None:
    """Put a network into train mode, but for modules that are frozen as a whole.

    These compute as in evaluation: batch-norm by the statistics that it has, which stay, and nothing is dropped.
    """
    network.train()
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(each.requires_grad for each in parameters):
            module.eval()


def _patterns(network: AnyNetwork) -> dict[str, str]:
    """Give the pattern of each part's parameters."""
    if not isinstance(network, Network):
        return {name: f"{name}.*" for name, each in network.body.named_children() if list(each.parameters())}
    stages = [each for each in FeatureInfo.of(network.spec).module_name() if each != "stem"]
    inner = {name: f"stages.{place}.*" for place, name in enumerate(stages)}
    return {"stem": "stem.*", **inner, "head": "head.*"}
