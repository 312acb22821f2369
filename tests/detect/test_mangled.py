"""Annotation files with anything in any place: read, or refused in one line."""

import copy
import json

import pytest

from tests.detect.boxes import document, write_coco
from visiongraft.detect.opening import list_detection
from visiongraft.errors import DataError

ODD = (None, True, -1, 0, 10**30, 1.5, float("nan"), float("inf"), "x", "", [], [1], [[]], [["x"]], {}, {"a": 1})

PLACES = [(part, key) for part in ("images", "annotations", "categories") for key in document()[part][0]]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp("mangled") / "set")


@pytest.mark.parametrize(("part", "key"), PLACES)
def test_whatever_stands_in_a_place_of_the_json_gives_data_or_one_line(made, part, key):
    for value in ODD:
        content = copy.deepcopy(document())
        content[part][0][key] = value
        (made / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
        try:
            data = list_detection(made)
        except DataError as error:
            assert "\n" not in str(error)
            continue
        assert len(data.train.labels) <= 3
        for index in range(len(data.train)):
            data.train.objects(index)
        assert all("\n" not in str(each) for each in data.faults)


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_whatever_stands_for_a_list_gives_data_or_one_line(made, key, value):
    (made / "annotations" / "instances_train2017.json").write_text(json.dumps({**document(), key: value}))
    if key == "annotations" and value == []:
        assert len(list_detection(made).train.labels) == 0
        return
    with pytest.raises(DataError) as raised:
        list_detection(made)
    assert "\n" not in str(raised.value)
