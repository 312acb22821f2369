"""The training of a detector: each bit follows from the step, and what is kept is what is scored."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.detect.boxes import document, picture, write_images, write_json
from tests.detect.tiny import built
from tests.train.endings import ending, same
from tests.train.killer import Killed, Killer
from visiongraft.data.sampling import Share
from visiongraft.detect.course import DetectionCourse, parse_jitter
from visiongraft.detect.judging import judge
from visiongraft.detect.opening import open_detection
from visiongraft.detect.store import read
from visiongraft.detect.training import TERMS, Detecting, DetectionOutcome
from visiongraft.detect.value import Kind
from visiongraft.errors import DataError, GraftError, RunError
from visiongraft.surgery.foreign import Foreign
from visiongraft.train.devices import Hardware
from visiongraft.train.engine import train
from visiongraft.train.run import RunFolder, plan_run
from visiongraft.train.state import Progress, State, Tally, read_state

QUICK = DetectionCourse(
    epochs=2,
    batch_size=2,
    lr=1e-3,
    warmup_epochs=0.5,
    val_every=1,
    jitter="0.5,1.5",
    color_jitter=0.2,
    model_ema_decay=0.5,
)
"""A course that draws all that a course can."""

CPU = Hardware(torch.device("cpu"))
READING = Hardware(torch.device("cpu"), workers=1)


def write_scenes(root: Path, *, train: int = 6, val: int = 3) -> Path:
    """Write images with squares: `train` of them to learn from, and `val` to be scored on."""
    for part, count, start in (("train", train, 1), ("val", val, 101)):
        write_images(root / f"{part}2017", [f"{start + number}.png" for number in range(count)], seed=start)
        write_json(root / "annotations" / f"instances_{part}2017.json", document(count, start=start))
    return root


def run(folder: RunFolder, data: Path, course: DetectionCourse = QUICK, **more) -> DetectionOutcome:
    choices = {"num_classes": 2, "min_size": (32,), "max_size": 48, "detections": 10}
    detector = built(more.pop("kind", "mask_rcnn"), more.pop("network", "resnet_pico"), **choices)
    more = {"hardware": CPU, "save_minutes": 0.0, **more}
    return train(Detecting(detector, open_detection(data), course), folder, **more)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory, data: Path) -> DetectionOutcome:
    """A run of six steps that nobody kills."""
    return run(plan_run(tmp_path_factory.mktemp("through") / "run", name=""), data)


@pytest.mark.parametrize("after", [2, 3, 4])
def test_a_run_that_was_killed_ends_as_one_that_was_not(
    tmp_path: Path, data: Path, through: DetectionOutcome, after: int
) -> None:
    folder = plan_run(tmp_path / "killed", name="")
    with pytest.raises(Killed):
        run(folder, data, listener=Killer(after))
    torch.manual_seed(4321)  # another process has another state
    hardware = READING if after == 3 else CPU
    resumed = run(folder, data, resume="allowed", hardware=hardware)
    assert read_state(through.run)[0].progress.step == 6
    assert same(ending(folder), ending(through.run))
    assert resumed.evaluation.scores == through.evaluation.scores
    assert resumed.best_epoch == through.best_epoch


@pytest.mark.parametrize("kind", ["faster_rcnn", "retinanet", "fcos"])
def test_each_kind_of_detector_is_trained_in_parts_and_tells_the_terms_of_its_loss(
    tmp_path: Path, data: Path, kind: Kind
) -> None:
    course = replace(QUICK, epochs=1, grad_accum_steps=2, jitter="none", opt="sgd", lr=1e-4)
    outcome = run(plan_run(tmp_path / "run", name=""), data, course, kind=kind)
    header, row = (line.split(",") for line in outcome.run.metrics.read_text().splitlines())
    terms = [float(row[place]) for place, name in enumerate(header) if name.startswith("train_loss_")]
    assert len(terms) == len(TERMS[kind])
    assert sum(terms) == pytest.approx(float(row[header.index("train_loss")]), rel=1e-5)
    assert header[-3:] == ["val_box_ap", "val_box_ap50", "val_box_ap75"]


def test_the_file_scores_what_the_training_told(through: DetectionOutcome, data: Path) -> None:
    kept = read(through.run.best)
    found = judge(kept.network, open_detection(data).val, categories=2)
    assert kept.classes == open_detection(data).categories
    assert found.scores == through.evaluation.scores
    named = {f"val_{name}": value for name, value in found.scores.named().items()}
    assert kept.scores == {name: named[name] for name in kept.scores}
    assert set(kept.scores) == {f"val_{what}_{each}" for what in ("box", "mask") for each in ("ap", "ap50", "ap75")}


def test_averaged_weights_are_those_that_are_scored_and_kept(through: DetectionOutcome) -> None:
    state, kept = read_state(through.run)[0].tensors, read(through.run.best).network.state_dict()
    weight = "roi_heads.box_predictor.cls_score.weight"
    if through.best_epoch == 2:
        assert torch.equal(kept[weight], state["average"][f"module.{weight}"])
    assert not torch.equal(kept[weight], state["network"][weight])


def test_layers_compute_in_half_precision_and_boxes_are_shown_as_they_are(tmp_path: Path, data: Path) -> None:
    detector = built("mask_rcnn", "resnet_pico", num_classes=2, min_size=(32,), max_size=48)
    shown, computed = set(), set()

    def note(module: nn.Module, given: tuple) -> None:
        shown.update({given[0][0].dtype, given[1][0]["boxes"].dtype} if module.training else ())

    def note_half(module: nn.Module, given: object, gave: torch.Tensor) -> None:
        computed.update({gave.dtype} if module.training else ())

    detector.register_forward_pre_hook(note)
    detector.roi_heads.box_predictor.cls_score.register_forward_hook(note_half)
    course = replace(QUICK, epochs=1, precision="bfloat16", jitter="none", model_ema_decay=0.0)
    train(Detecting(detector, open_detection(data), course), plan_run(tmp_path / "run", name=""), hardware=CPU)
    assert (shown, computed) == ({torch.float32}, {torch.bfloat16})


def test_an_image_that_cannot_be_read_is_left_out_and_listed(tmp_path: Path) -> None:
    data = write_scenes(tmp_path / "scenes")
    for name in ("train2017/2.png", "val2017/102.png"):
        (data / name).write_bytes(b"junk")
    outcome = run(plan_run(tmp_path / "run", name=""), data, max_unreadable=1.0)
    assert {Path(each.name).name for each in outcome.unreadable} == {"2.png", "102.png"}
    assert outcome.evaluation.scores.images == 2


def test_an_image_of_which_nothing_would_be_left_is_passed_over_and_listed(tmp_path: Path) -> None:
    data = write_scenes(tmp_path / "scenes")
    content = document(3, start=101)
    content["images"][2] |= {"width": 2000, "height": 1}  # which shows nothing
    write_json(data / "annotations" / "instances_val2017.json", content)
    picture(0, (2000, 1)).save(data / "val2017" / "103.png")
    outcome = run(plan_run(tmp_path / "run", name=""), data, replace(QUICK, epochs=1), max_unreadable=1.0)
    (odd,) = outcome.unreadable
    assert (Path(odd.name).name, odd.reason[:35]) == ("103.png", "it has 1x2000 pixels, and nothing w")
    assert outcome.evaluation.scores.images == 2


def test_a_run_of_other_data_or_another_course_cannot_go_on(
    tmp_path: Path, data: Path, through: DetectionOutcome
) -> None:
    with pytest.raises(RunError, match=r"cannot go on: its --jitter is 0\.5,1\.5, not none\. Only"):
        run(through.run, data, replace(QUICK, jitter="none"), resume="allowed")
    with pytest.raises(RunError, match=r"cannot go on: it trains mask_rcnn_.*, not fcos_.*\. Only"):
        run(through.run, data, kind="fcos", resume="allowed")
    other = write_scenes(tmp_path / "other", train=7)
    with pytest.raises(RunError, match="cannot go on: its data had 6 images to learn from and has 7"):
        run(through.run, other, resume="allowed")


def test_the_networks_of_others_and_fixed_norms_learn_as_well(tmp_path: Path, data: Path) -> None:
    choices = {"num_classes": 2, "min_size": (32,), "max_size": 48, "norm": "frozen"}
    detector = built("faster_rcnn", Foreign("timm:test_efficientnet", image=(32, 32)), **choices)
    before = {name: each.clone() for name, each in detector.backbone.body.state_dict().items()}
    course = replace(QUICK, epochs=1, model_ema_decay=0.0)
    train(Detecting(detector, open_detection(data), course), plan_run(tmp_path / "run", name=""), hardware=CPU)
    still = {name for name, each in detector.backbone.body.state_dict().items() if torch.equal(each, before[name])}
    assert still == {name for name in before if "bn" in name}


def test_a_detector_of_other_categories_is_refused(data: Path) -> None:
    with pytest.raises(GraftError, match=r"is for 3 categories, and .* has 2\. Make it for as many\."):
        Detecting(built("fcos"), open_detection(data), QUICK)


@pytest.mark.parametrize("part", ["train", "val"])
def test_masks_that_some_object_lacks_are_not_learnt_and_not_scored(tmp_path: Path, part: str) -> None:
    data = write_scenes(tmp_path / "scenes")
    file = data / "annotations" / f"instances_{part}2017.json"
    content = json.loads(file.read_text("utf-8"))
    del content["annotations"][1]["segmentation"]
    write_json(file, content)
    opened = open_detection(data)
    Detecting(built("fcos", num_classes=2), opened, QUICK)
    with pytest.raises(DataError, match=rf"Masks are to be learnt, and 1 of \d+ objects have none, the first.*{part}"):
        Detecting(built("mask_rcnn", num_classes=2), opened, QUICK)


def test_where_more_processes_go_on_each_has_a_sum_of_every_term() -> None:
    tally = Tally(torch.tensor(3.0), 2, terms=(torch.tensor(1.0), torch.tensor(2.0)))
    state = State({}, Progress(), [tally], {})
    first, second = (state.tally(rank, 2) for rank in range(2))
    assert [float(each) for each in (first.loss, *first.terms)] == [3, 1, 2]
    assert [float(each) for each in (second.loss, *second.terms)] == [0, 0, 0]


def test_a_batch_may_be_of_one_image_on_each_device(data: Path) -> None:
    job = Detecting(built("fcos", num_classes=2), open_detection(data), QUICK)
    assert job.steps(Share(devices=2)) == 6
    with pytest.raises(DataError, match=r"A batch of 2 images cannot be cut into equal parts for 3 devices"):
        job.steps(Share(devices=3))


@pytest.mark.parametrize("text", ["2.0,0.1", "0,1", "1", "a,b", "0.5,1,2", "nan,1"])
def test_what_is_no_jitter_is_refused(text: str) -> None:
    with pytest.raises(GraftError, match=r"--jitter takes two factors, as 0\.1,2\.0, the smaller one first, or none,"):
        parse_jitter(text)
