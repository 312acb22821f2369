"""What `graft train` begins with: a network with random weights, with those of others, or with those of its state."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from visiongraft.cli.grafting import blueprint_named, grafted
from visiongraft.cli.groups import Source
from visiongraft.cli.values import best_of, check_takes_rgb, fetched
from visiongraft.errors import GraftError
from visiongraft.kernels.types import Grid
from visiongraft.preprocessing import Preprocessing
from visiongraft.surgery.foreign import Blueprint, Foreign, read_blueprint
from visiongraft.surgery.network import check_takes, fitted
from visiongraft.surgery.words import Graft
from visiongraft.train.run import RunFolder
from visiongraft.train.state import belongings
from visiongraft.weights.libraries import read_weights_of_others, source_and_tag
from visiongraft.weights.models import read_weights
from visiongraft.weights.sources import WEIGHT_FILES, names_weights
from visiongraft.weights.store import Trained


@dataclass(frozen=True)
class Beginning:
    """What a training begins with.

    Args:
        spec: the network, which can take the images.
        preprocessing: of the weights, or the usual one.
        weights: at the size of the images; None for random ones, or those of a state.
    """

    spec: Blueprint
    preprocessing: Preprocessing
    weights: Trained | None = None


def begin(
    model: str | None,
    size: Grid | None,
    source: Source,
    *,
    known: RunFolder | None = None,
    grafts: tuple[Graft, ...] = (),
) -> Beginning:
    """Find what a training begins with.

    Args:
        model: a name of the zoo; None only where weights come from a file.
        size: of the images; None for the network's own.
        source: of the weights.
        known: the folder of the run, where it may be there already. If it has a state, trained weights are not read
            again: the state takes their place, and they may be gone.
        grafts: what is grafted into the network, which may come with weights without them.

    Raises:
        GraftError: if the network takes no colour images, or none of that size, or the weights cannot be read.
    """
    _check_names(model, source)
    former = _former(known, model, source) if known else None
    start = None
    if former is None and source.pretrained:
        assert model is not None
        start = fetched(model, image=size, weights_dir=source.weights_dir, offline=source.offline)
    elif former is None and source.weights is not None:
        start = _read(best_of(source.weights), model, size)
    if former:
        spec = fitted(former.spec, image=size)
    elif start:
        spec = grafted(fitted(start.network.spec, image=size), grafts)
    else:
        assert model is not None
        spec = grafted(fitted(blueprint_named(model), image=size), grafts)
    check_takes_rgb(spec, model=model)
    check_takes(spec, spec.image)
    usual = former or start
    return Beginning(spec, usual.preprocessing if usual else Preprocessing(), start)


def _read(path: Path, model: str | None, size: Grid | None) -> Trained:
    """Read a weight file, with the network that it is of, where it does not say that itself."""
    if model is None or ":" not in model:
        return read_weights(path, model=model, image=size)
    spec = Foreign(source_and_tag(model)[0])
    return read_weights_of_others(path, spec if size is None else spec.at(size))


def _check_names(model: str | None, source: Source) -> None:
    """Refuse what cannot name a network and its weights."""
    if model is not None and model.lower().endswith(WEIGHT_FILES):
        raise GraftError(
            f"--model takes a name of `graft list`, and got {model!r}. A weight file is given as --weights."
        )
    if source.pretrained and source.weights is not None:
        raise GraftError("--pretrained and --weights are two places to take weights from. Give one of them.")
    if model is not None and not source and _has_a_tag(model):
        raise GraftError(f"--model {model} names weights. To begin with them, add --pretrained; or leave out the tag.")


def _has_a_tag(model: str) -> bool:
    """Tell whether the name of a network goes on with the tag of some of its weights."""
    return bool(source_and_tag(model)[1]) and (":" in model or names_weights(model))


def _former(run: RunFolder, model: str | None, source: Source) -> Beginning | None:
    """Give what a run that began with trained weights is of, by its state; None where it has none or other options."""
    weights = None if source.weights is None else str(source.weights)
    asked = {"model": model, "pretrained": source.pretrained, "weights": weights}
    if not source or options_written(run, asked) != asked:
        return None
    found = belongings(run)
    if found is None:
        return None
    return Beginning(read_blueprint(found["spec"]), Preprocessing.from_dict(found["preprocessing"]))


def options_written(run: RunFolder, names: Iterable[str]) -> dict[str, object] | None:
    """Give some of the options that a run was begun with; None where it did not write them down."""
    try:
        document = yaml.safe_load(run.config.read_text(encoding="utf-8"))
        return {name: document[name] for name in names}
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError):
        return None
