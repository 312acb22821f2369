"""The image size and the classes of foreign weights are read off their shapes."""

import pytest

from tests.weights.shapes import BOT, PICO, shapes
from visiongraft.errors import ImageSizeError, WeightsError
from visiongraft.weights.convert import convert, fitting_form


@pytest.mark.parametrize(
    ("name", "source", "image"),
    [
        (PICO, "timm", (240, 240)),
        (PICO, "timm", (1040, 1040)),
        (BOT, "timm", (240, 240)),
        (BOT, "timm", (256, 192)),
        (BOT, "timm", (192, 320)),
        ("botnet50_lucidrains", "lucidrains", (96, 160)),
        ("botnet20_lucidrains_absolute", "lucidrains", (240, 88)),
        ("botnet50_listing_small", "leaderj1001", (36, 64)),
    ],
)
def test_the_image_size_of_weights_is_read_off_their_position_tables(name: str, source: str, image) -> None:
    weights = shapes(name, source, image=image, num_classes=7)
    form = fitting_form(weights, source=source, name=name)
    assert (form.image, form.head.num_classes) == (image, 7)
    assert convert(weights, source=source, name=form)


@pytest.mark.parametrize("image", [(192, 256), (256, 192)])
def test_two_sizes_that_shapes_do_not_tell_apart_are_both_named_and_one_word_settles_it(image) -> None:
    weights = shapes(PICO, image=image, in_chans=1)
    with pytest.raises(WeightsError) as caught:
        fitting_form(weights, source="timm", name=PICO, image=224)  # which does not fit, and so says nothing
    assert str(caught.value) == (
        f"These weights of {PICO} fit images of (height, width) (192, 256) as well as (256, 192), since their position"
        " tables have the same shapes. Say which, as image=(192, 256) or as `graft convert --image 192x256`."
    )
    with pytest.raises(
        WeightsError, match=r"image=\(192, 256\)\).spec or .*image=\(256, 192\)\).spec; the shapes do not"
    ):
        convert(weights, source="timm", name=PICO)
    form = fitting_form(weights, source="timm", name=PICO, image=image)
    assert (form.image, form.in_chans) == (image, 1)
    with pytest.raises(ImageSizeError):
        fitting_form(weights, source="timm", name=PICO, image=2)


def test_without_position_tables_the_image_size_is_what_is_asked_for() -> None:
    assert fitting_form(shapes("resnet50"), source="timm", name="resnet50", image=(320, 256)).image == (320, 256)
    assert fitting_form(shapes("resnet50"), source="timm", name="resnet50").image == (224, 224)


def test_tables_of_no_image_size_are_not_taken_for_those_of_an_unknown_network() -> None:
    weights = shapes(PICO)
    weights |= {name: each[:7] for name, each in weights.items() if name.endswith("bias_table")}
    with pytest.raises(
        WeightsError, match="No images of up to 2048 pixels a side have such position tables: take them"
    ):
        convert(weights, source="timm", name=PICO)
