"""The papers' set-ups are what their sources say, and can be built."""

import pytest

from visiongraft.detect.recipes import RECIPES, Sizes, get_recipe
from visiongraft.detect.value import Detector
from visiongraft.errors import GraftError
from visiongraft.families.zoo import get_spec


def test_botnets_set_up_is_the_papers() -> None:
    found = get_recipe("botnet_72_strong")
    assert (found.kind, found.backbone, found.recipe.epochs) == ("mask_rcnn", "botnet50", 72)
    assert found.sizes == Sizes((1024,), 1024, (0.1, 2.0))
    assert [get_recipe(f"botnet_{epochs}").recipe.epochs for epochs in (12, 24, 36, 72)] == [12, 24, 36, 72]
    assert get_recipe("botnet_36").sizes == Sizes((1024,), 1024, (0.8, 1.25))


def test_cotnets_set_up_is_its_authors() -> None:
    found = get_recipe("cotnet_1x")
    recipe = found.recipe
    assert (recipe.batch_size, recipe.lr, recipe.sched, recipe.decay_rate) == (16, 0.02, "late_steps", 0.1)
    assert (found.norm, found.heads) == ("sync", "normalised")
    assert (min(found.sizes.min_size), max(found.sizes.min_size), found.sizes.jitter) == (640, 800, (1.0, 1.0))
    assert abs(recipe.epochs * 117_266 / 16 - 90_000) < 2_500


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_describes_a_detector_and_says_what_it_departs_from(name: str) -> None:
    found = RECIPES[name]
    sizes = found.sizes
    Detector(found.kind, get_spec(found.backbone), 80, sizes.min_size, sizes.max_size, found.norm, found.heads)
    assert found.departures
    assert all(each.endswith(".") for each in found.departures)


def test_what_is_no_recipe_is_refused() -> None:
    with pytest.raises(GraftError, match=r"No recipe for detectors is named 'cotnet_2x'. Did you mean 'cotnet_1x'"):
        get_recipe("cotnet_2x")
    with pytest.raises(GraftError, match=r"A scale jitter goes from a number above 0 .* not \(2.0, 0.1\)."):
        Sizes((64,), 64, (2.0, 0.1))
