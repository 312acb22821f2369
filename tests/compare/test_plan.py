"""A plan is kept as it was written, and tells what differs in another one."""

import json
from dataclasses import replace

import numpy as np
import pytest

from visiongraft.compare.plan import DataMark, Entry, Plan, check_question, mark_of
from visiongraft.data.sets import ArrayImages, ImageData
from visiongraft.errors import GraftError, RunError
from visiongraft.families.zoo import get_spec
from visiongraft.preprocessing import Preprocessing
from visiongraft.train.recipe import Recipe

RECIPE = Recipe(keep="last")
PLAN = Plan(
    entries=(Entry(get_spec("resnet_pico"), 4, 1.5), Entry(get_spec("botnet_pico"), 3, 2.0)),
    seeds=(0, 1, 2),
    recipe=RECIPE,
    data=DataMark("flowers", 5, 2922, 748, "abc"),
    budget=1200.0,
    device="cpu",
)


def test_a_plan_is_read_as_it_was_written() -> None:
    plan = replace(PLAN, preprocessing=Preprocessing(mean=(0.5, 0.5, 0.5)))
    assert Plan.from_json(plan.to_json()) == plan


def test_a_plan_from_before_there_was_a_preprocessing_has_the_usual_one() -> None:
    document = json.loads(PLAN.to_json())
    del document["preprocessing"]
    assert Plan.from_json(json.dumps(document)) == PLAN


def test_every_seed_of_all_networks_comes_before_the_next_seed() -> None:
    assert [(entry.name, seed) for entry, seed in replace(PLAN, seeds=(0, 1))] == [
        ("resnet_pico", 0),
        ("botnet_pico", 0),
        ("resnet_pico", 1),
        ("botnet_pico", 1),
    ]
    assert len(PLAN) == 6


def test_a_run_has_the_recipe_of_all_with_its_own_epochs_and_seed() -> None:
    assert PLAN.recipe_of(PLAN.entries[1], 2) == replace(RECIPE, epochs=3, seed=2)


def test_epochs_that_were_chosen_for_a_budget_are_no_difference() -> None:
    entries = tuple(Entry(each.spec, 0) for each in PLAN.entries)
    assert PLAN.differences(replace(PLAN, entries=entries)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": (0, 1)}, "3 seeds and not 2 seeds"),
        ({"budget": 60.0}, "a budget of 1200 s and not a budget of 60 s"),
        ({"budget": None}, "a budget of 1200 s and not 4 epochs"),
        ({"entries": PLAN.entries[:1]}, "the models resnet_pico, botnet_pico and not resnet_pico"),
        ({"device": "cuda"}, "the device cpu and not cuda"),
        ({"recipe": replace(RECIPE, lr=0.1)}, "--lr 0.008 and not 0.1"),
        ({"preprocessing": Preprocessing(interpolation="bilinear")}, "--interpolation bicubic and not bilinear"),
        ({"preprocessing": Preprocessing(crop=0.95)}, "--crop-pct 0.875 and not 0.95"),
        ({"preprocessing": Preprocessing(mean=(0.5, 0.0, 0.25))}, "--mean 0.485,0.456,0.406 and not 0.5,0,0.25"),
        ({"data": replace(PLAN.data, name="photos")}, "the data flowers and not photos"),
        ({"data": replace(PLAN.data, train=9)}, "2,922 train images and not 9"),
        ({"data": replace(PLAN.data, digest="x")}, "other images or labels"),
        (
            {"entries": tuple(replace(each, spec=each.spec.at((32, 48))) for each in PLAN.entries)},
            "images of 64x64 and not 32x48",
        ),
        (
            {
                "entries": (
                    PLAN.entries[0],
                    replace(PLAN.entries[1], spec=replace(PLAN.entries[1].spec, drop_path=0.5)),
                )
            },
            "another network called botnet_pico",
        ),
    ],
)
def test_what_differs_is_said(change: dict[str, object], words: str) -> None:
    assert PLAN.differences(replace(PLAN, **change)) == [words]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no plan of a comparison"),
        ("[]", "no plan of a comparison"),
        ('{"format": "visiongraft.comparison/9"}', "its format is 'visiongraft.comparison/9'"),
        (
            PLAN.to_json().replace("comparison/2", "comparison/1"),
            "format is 'visiongraft.comparison/1', and '.*/2' was",
        ),
        (
            PLAN.to_json().replace('"last"', '"best"'),
            "keeps the best weights, and a comparison those of the last epoch",
        ),
        (PLAN.to_json().replace('"seeds"', '"sedes"'), "no plan of a comparison"),
        (PLAN.to_json().replace('"kind": "Backbone"', '"kind": "Bakbone"'), "no word 'Bakbone'"),
    ],
)
def test_what_is_no_plan_is_refused(text: str, words: str) -> None:
    with pytest.raises(RunError, match=words):
        Plan.from_json(text)


def data(labels: list[int], classes: tuple[str, ...] = ("a", "b")) -> ImageData:
    images = ArrayImages("train", np.zeros((len(labels), 2, 2, 3), np.uint8), np.array(labels))
    return ImageData("x", classes, images, images)


def test_data_with_other_labels_or_classes_is_another_data_set() -> None:
    assert mark_of(data([0, 1])) == mark_of(data([0, 1]))
    assert mark_of(data([0, 1])) != mark_of(data([1, 0]))
    assert mark_of(data([0, 1])) != mark_of(data([0, 1], ("a", "c")))


@pytest.mark.parametrize(
    ("names", "seeds", "words"),
    [
        (["resnet_pico"], 3, "A comparison needs at least two models, and got resnet_pico. Give more"),
        ([], 3, "at least two models, and got none"),
        (["a", "b", "a"], 3, "--models names a twice. Name each model once"),
        (["a", "b"], 1, "--seeds must be at least 2, not 1"),
    ],
)
def test_what_is_no_comparison_is_refused(names: list[str], seeds: int, words: str) -> None:
    with pytest.raises(GraftError, match=words):
        check_question(names, seeds)
