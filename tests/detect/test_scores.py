"""COCO's average precision, of which pycocotools is the judge."""

import json
import math
import pickle
import sys
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest

from tests.detect.boxes import write_coco
from visiongraft.detect.opening import open_detection
from visiongraft.detect.outlines import RunLengths
from visiongraft.detect.scores import Prediction, gathered, results_of, score
from visiongraft.errors import MissingExtra
from visiongraft.train.team import Team

cocoeval = pytest.importorskip("pycocotools.cocoeval")
coco = pytest.importorskip("pycocotools.coco")
cocomask = pytest.importorskip("pycocotools.mask")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools 2.0.11

NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100")
NAMES += ("ar_small", "ar_medium", "ar_large")


def invented(images, seed=0, *, masks, found=0.8):
    """Invent detections: annotated objects moved a little, with wrong labels, doubles, and some of nothing at all."""
    rng = np.random.default_rng(seed)
    categories = int(images.labels.max())
    answers = {}
    for place in range(len(images)):
        objects = images.objects(place)
        height, width = objects.size
        boxes, labels, shapes = [], [], []
        for number, (x0, y0, x1, y1) in enumerate(objects.boxes):
            for _ in range(int(rng.random() < found) + int(rng.random() < 0.2)):
                jump = rng.normal(0, 0.08, 4) * [x1 - x0, y1 - y0, x1 - x0, y1 - y0]
                boxes.append([x0, y0, x1, y1] + jump)
                wrong = rng.random() < 0.1
                labels.append(int(rng.integers(1, categories + 1)) if wrong else int(objects.labels[number]))
                if masks:
                    shift = rng.integers(-2, 3, 2)
                    shapes.append(RunLengths.of(np.roll(objects.outlines[number].mask(objects.size), shift, (0, 1))))
        for _ in range(int(rng.integers(0, 4))):
            x, y = rng.random(2) * [width / 2, height / 2]
            boxes.append([x, y, x + width / 3, y + height / 3])
            labels.append(int(rng.integers(1, categories + 1)))
            if masks:
                shape = np.zeros(objects.size, np.uint8)
                shape[: height // 3, : width // 3] = 1
                shapes.append(RunLengths.of(shape))
        answers[place] = Prediction(
            np.array(boxes, np.float64).reshape(-1, 4),
            np.round(rng.random(len(boxes)), 2),  # some are equal
            np.array(labels, np.int64),
            tuple(shapes) if masks else None,
        )
    return answers


def judged(file, data, answers, kind):
    """Give pycocotools' twelve numbers, from the file of annotations itself."""
    with redirect_stdout(StringIO()):
        truth = coco.COCO(str(file))
        rows = json.loads(json.dumps(results_of(data.val, answers, data.category_ids)))
        if kind == "segm":  # where it finds boxes, it takes their areas
            rows = [{key: value for key, value in row.items() if key != "bbox"} for row in rows]
        if rows:
            answered = truth.loadRes(rows)
        else:
            answered = coco.COCO()
            answered.dataset = {**truth.dataset, "annotations": []}
            answered.createIndex()
        judge = cocoeval.COCOeval(truth, answered, kind)
        judge.params.imgIds = [data.val.ids[place] for place in answers]
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    by_category = judge.eval["precision"][:, :, :, 0, 2]
    return judge.stats, by_category


def assert_equal_to_the_judge(file, data, answers, kind):
    ours = score(data.val, answers, categories=len(data.categories))
    ours = ours.box if kind == "bbox" else ours.mask
    stats, by_category = judged(file, data, answers, kind)
    for name, theirs in zip(NAMES, stats.tolist(), strict=True):
        mine = getattr(ours, name)
        assert (-1 if math.isnan(mine) else mine) == pytest.approx(theirs, abs=1e-6), name
    for number, mine in enumerate(ours.categories):
        known = by_category[:, :, number][by_category[:, :, number] > -1]
        assert math.isnan(mine) == (known.size == 0)
        assert known.size == 0 or mine == pytest.approx(known.mean(), abs=1e-6)
    return ours


@pytest.mark.parametrize(
    ("name", "kind"),
    [("bccd", "bbox"), ("nuclei", "bbox"), ("nuclei", "segm"), ("coco_free", "bbox"), ("coco_free", "segm")],
)
def test_scores_on_photographs_are_those_of_pycocotools(shared, name, kind):
    data = open_detection(shared / "data" / name, parts="val")
    answers = invented(data.val, masks=kind == "segm")
    found = assert_equal_to_the_judge(shared / "data" / name / "instances_val.json", data, answers, kind)
    assert 0.1 < found.ap < found.ap50 < 1


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("case", ["all", "none at all", "only some images", "an image without objects is empty"])
def test_odd_cases_are_judged_as_pycocotools_judges_them(tmp_path, kind, case):
    root = write_coco(tmp_path / "set")
    data = open_detection(root)
    answers = invented(data.val, seed=4, masks=True, found=1.0)
    nothing = Prediction(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), ())
    if case == "none at all":
        answers = dict.fromkeys(answers, nothing)
    if case == "only some images":
        answers = {place: answers[place] for place in (2, 0)}
    if case == "an image without objects is empty":
        answers[2] = nothing
    found = assert_equal_to_the_judge(root / "annotations" / "instances_val2017.json", data, answers, kind)
    assert found.ap == 0 if case == "none at all" else found.ap > 0


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_what_is_found_in_a_crowd_is_neither_right_nor_wrong(tmp_path, kind):
    root = write_coco(tmp_path / "set")
    file = root / "annotations" / "instances_val2017.json"
    content = json.loads(file.read_text("utf-8"))
    whole = RunLengths.of(np.ones((30, 40), np.uint8))
    content["annotations"][1] |= {"iscrowd": 1, "bbox": [0, 0, 40, 30], "area": 1200, "segmentation": whole.coco()}
    file.write_text(json.dumps(content))
    data = open_detection(root)
    assert data.val.crowd.tolist() == [False, True, False]
    assert_equal_to_the_judge(file, data, invented(data.val, seed=1, masks=True), kind)


def test_perfect_answers_are_perfect(tmp_path):
    val = open_detection(write_coco(tmp_path / "set")).val
    answers = {}
    for place in range(3):
        objects = val.objects(place)
        shapes = tuple(RunLengths.of(each) for each in objects.masks())
        answers[place] = Prediction(objects.boxes, np.ones(len(objects.labels)), objects.labels, shapes)
    found = score(val, answers, categories=2)
    assert found.box.ap == found.mask.ap == found.mask.ar100 == 1
    assert math.isnan(found.box.ap_large)
    assert found.images == 3
    assert found.named()["mask_ap50"] == 1
    assert set(found.named()) == {
        f"{kind}_{name}"
        for kind in ("box", "mask")
        for name in ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar100")
    }


def test_without_masks_on_either_side_boxes_alone_are_scored(tmp_path):
    val = open_detection(write_coco(tmp_path / "set")).val
    answers = invented(val, masks=False)
    assert score(val, answers, categories=2).mask is None
    assert "mask_ap" not in score(val, answers, categories=2).named()


def test_what_a_network_of_torchvisions_gives_is_read():
    import torch

    output = {
        "boxes": torch.tensor([[1.0, 2.0, 3.0, 5.0]], requires_grad=True),
        "labels": torch.tensor([2]),
        "scores": torch.tensor([0.75]),
        "masks": torch.tensor([[[[0.4, 0.6], [0.5, 0.51]]]]),
    }
    found = Prediction.of(output)
    assert found.boxes.tolist() == [[1, 2, 3, 5]]
    assert found.labels.tolist() == [2]
    assert found.scores.tolist() == [0.75]
    assert found.masks[0].mask((2, 2)).tolist() == [[0, 1], [0, 1]]


def test_without_faster_coco_eval_the_error_says_how_to_install_it(monkeypatch, tmp_path):
    val = open_detection(write_coco(tmp_path / "set")).val
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(MissingExtra) as raised:
        score(val, {}, categories=2)
    assert str(raised.value) == (
        "Scores of detectors need faster-coco-eval. Install it with: pip install 'visiongraft[detect]'"
    )


def test_predictions_travel_between_processes(tmp_path):
    answers = invented(open_detection(write_coco(tmp_path / "set")).val, masks=True)
    arrived = pickle.loads(pickle.dumps(answers))
    assert arrived[1].boxes.tolist() == answers[1].boxes.tolist()
    assert [each.coco() for each in arrived[1].masks] == [each.coco() for each in answers[1].masks]


class TwoOf(Team):
    """A team of two, of which the other one found something else."""

    def gathered(self, thing):
        nothing = Prediction(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))
        return [thing, {0: nothing, 3: nothing}]


def test_what_several_processes_found_comes_together_once_for_each_image():
    one = Prediction(np.zeros((1, 4)), np.zeros(1), np.ones(1, np.int64))
    both = gathered({1: one, 2: one}, TwoOf())
    assert list(both) == [0, 1, 2, 3]
    assert len(both[1].labels) == 1
    assert len(both[0].labels) == 0
    with pytest.raises(AssertionError, match="judged by two processes"):
        gathered({0: one}, TwoOf())
    assert gathered({1: one, 0: one}) == {0: one, 1: one}
