"""report.html: one page about a training run, which needs nothing beside itself."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import torch
from markupsafe import Markup

from visiongraft.data.sets import ImageData
from visiongraft.explain import usage
from visiongraft.explain.curves import drawings, pace_of_all, read_epochs, to_svg
from visiongraft.explain.machine import describe_machine
from visiongraft.explain.page import render, write_page
from visiongraft.explain.pictures import picture_of
from visiongraft.explain.scores import (
    Verdict,
    class_scores,
    confused_pairs,
    confusion_cells,
    mean_share,
    score_interval,
    surest_hits,
    worst_mistakes,
)
from visiongraft.summary import summarize
from visiongraft.surgery.foreign import Blueprint
from visiongraft.train.engine import Outcome
from visiongraft.train.evaluate import Evaluation
from visiongraft.train.recipe import Recipe

_STARVED = 0.2  # of the training's time: with more waiting for images, the page says what to do about it
_MATRIX_CLASSES = 30  # with more, a confusion matrix is a wall of zeros: the page lists what is confused instead
_SPACIOUS_CLASSES = 12  # with more, its cells only have room for one number, and hits would bury the mistakes
_PAIRS, _MANY_PAIRS = 5, 20
_WEAKEST = 15
_MISTAKES, _MISTAKE_SIDE = 12, 160  # pictures, and their longest side in pixels
_HITS, _HIT_SIDE = 6, 96  # likewise, for each class


@dataclass(frozen=True)
class Card:
    """A judged image, ready to be shown.

    Args:
        verdict: what was said of it.
        name: where it lies, seen from the data.
        picture: the address that shows it, or None where it cannot be read any more.
    """

    verdict: Verdict
    name: str
    picture: str | None


@dataclass(frozen=True)
class Option:
    """An option of the run.

    Args:
        flag: as a command spells it.
        value: what it was.
        default: what it is when nothing is said.
    """

    flag: str
    value: object
    default: object


def write_report(
    outcome: Outcome,
    data: ImageData,
    *,
    options: Mapping[str, object],
    defaults: Mapping[str, object],
    device: torch.device,
) -> Path:
    """Write the page about a run into its folder, whole or not at all.

    Args:
        outcome: what the training gave; its folder holds metrics.csv and the weights.
        data: what was trained on. Some images of `val` are loaded again, for their pictures.
        options: of `graft train`, by their names in Python.
        defaults: what the options are when nothing is said.
        device: what computed.

    Returns:
        The path of the page.

    Raises:
        RunError: if the page cannot be written.
    """
    page = render(
        "report.html.j2",
        data=data,
        data_title=PurePath(data.name).name or data.name,
        summary=summarize(outcome.spec),
        machine=describe_machine(device),
        **_how_it_went(outcome, keep=str(options.get("keep", Recipe.keep))),
        **_scores(outcome.evaluation, data.classes),
        **_pictures(outcome.evaluation, data),
        **_what_to_type(outcome.run.best, outcome.spec, options, defaults),
    )
    write_page(outcome.run.report, page, remedy=f"The weights are in {outcome.run.best}.")
    return outcome.run.report


def _how_it_went(outcome: Outcome, *, keep: str) -> dict[str, object]:
    """Give the course of the training."""
    epochs = read_epochs(outcome.run.metrics)
    pace = pace_of_all(epochs)
    return {
        "pace": pace,
        "starved": pace is not None and pace.wait_share > _STARVED,
        "run": outcome.run,
        "seconds": outcome.seconds,
        "stopped": outcome.stopped,
        "unreadable": outcome.unreadable,
        "weights_bytes": outcome.run.best.stat().st_size,
        "epochs": epochs,
        "keep": keep,
        "best_epoch": outcome.best_epoch,
        "drawings": [(each, Markup(to_svg(each))) for each in drawings(epochs, outcome.best_epoch)],
    }


def _scores(found: Evaluation, classes: Sequence[str]) -> dict[str, object]:
    """Give how right the answers were, as a whole and class by class."""
    confusion = found.confusion
    scores = class_scores(confusion, classes)
    weakest = sorted((each for each in scores if each.f1 is not None), key=lambda each: each.f1 or 0.0)
    in_full = len(classes) <= _MATRIX_CLASSES
    return {
        "found": found,
        "interval": score_interval(found.top1, found.images),
        "right_images": int(confusion.trace()),
        "largest_class": int(confusion.sum(axis=1).max()),
        "guessing_loss": math.log(len(classes)),
        "cells": confusion_cells(confusion) if in_full else (),
        "spacious": len(classes) <= _SPACIOUS_CLASSES,
        "pairs": confused_pairs(confusion, classes, _PAIRS if in_full else _MANY_PAIRS),
        "scores": scores,
        "means": [mean_share([getattr(each, share) for each in scores]) for share in ("recall", "precision", "f1")],
        "weakest": () if in_full else weakest[:_WEAKEST],
    }


def _pictures(found: Evaluation, data: ImageData) -> dict[str, object]:
    """Give the images that the network was most sure of, wrongly and rightly."""
    mistakes = worst_mistakes(found, data.classes, _MISTAKES)
    hits = surest_hits(found, data.classes, _HITS) if len(data.classes) <= _SPACIOUS_CLASSES else ()
    return {
        "mistakes": [_card(data, each, _MISTAKE_SIDE) for each in mistakes],
        "hits": [(name, [_card(data, each, _HIT_SIDE) for each in verdicts]) for name, verdicts in hits],
    }


def _card(data: ImageData, verdict: Verdict, side: int) -> Card:
    name = data.val.name_of(verdict.index).removeprefix(f"{data.name.rstrip('/')}/")
    return Card(verdict, name, picture_of(data.val, verdict.index, side))


def _what_to_type(
    best: Path, spec: Blueprint, options: Mapping[str, object], defaults: Mapping[str, object]
) -> dict[str, object]:
    """Give what repeats the run, and what uses its network."""
    changed = {name: value for name, value in options.items() if value != defaults[name]}
    return {
        "planned_epochs": options["epochs"],
        "train_command": usage.command("train", (), changed),
        "options": [Option(usage.flag(name), value, defaults[name]) for name, value in options.items()],
        "eval_command": usage.command("eval", [best], {name: options[name] for name in ("data", "data_dir")}),
        "predict_command": usage.command("predict", [best, "photo.jpg"], {}),
        "as_module": usage.as_module(best, spec.image),
        "on_files": usage.on_files(best),
    }
