"""The papers' set-ups are what their sources say, and can be built."""

import pytest

from visiongraft.detect.recipes import RECIPES, get_recipe
from visiongraft.detect.value import Detector
from visiongraft.errors import GraftError
from visiongraft.families.zoo import get_spec


def test_botnets_set_up_is_the_papers() -> None:
    found = get_recipe("botnet_72_strong")
    assert (found.kind, found.backbone, found.course.epochs) == ("mask_rcnn", "botnet50", 72)
    assert (found.min_size, found.max_size, found.course.jitter) == ((1024,), 1024, "0.1,2.0")
    assert [get_recipe(f"botnet_{epochs}").course.epochs for epochs in (12, 24, 36, 72)] == [12, 24, 36, 72]
    assert get_recipe("botnet_36").course.jitter == "0.8,1.25"


def test_cotnets_set_up_is_its_authors() -> None:
    found = get_recipe("cotnet_1x")
    recipe = found.course
    assert (recipe.batch_size, recipe.lr, recipe.sched, recipe.decay_rate) == (16, 0.02, "late_steps", 0.1)
    assert (found.norm, found.heads) == ("sync", "normalised")
    assert (min(found.min_size), max(found.min_size), recipe.jitter) == (640, 800, "none")
    assert abs(recipe.epochs * 117_266 / 16 - 90_000) < 2_500


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_describes_a_detector_and_says_what_it_departs_from(name: str) -> None:
    found = RECIPES[name]
    kind, norm = found.kind or "mask_rcnn", found.norm or "sync"
    Detector(kind, get_spec(found.backbone), 80, found.min_size, found.max_size, norm, found.heads, found.width)
    assert found.departures or found.published == "nothing"
    assert all(each.endswith(".") for each in found.departures)


def test_what_is_no_recipe_is_refused() -> None:
    with pytest.raises(GraftError, match=r"No recipe for detectors is named 'cotnet_2x'. Did you mean 'cotnet_1x'"):
        get_recipe("cotnet_2x")
