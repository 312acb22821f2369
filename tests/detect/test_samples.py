"""What a detector is shown: images drawn by (seed, epoch, index), with objects that follow the pixels."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

from tests.detect.boxes import HEIGHT, WIDTH, document, write_coco, write_json
from tests.detect.tiny import built
from visiongraft.data.loader import Failure
from visiongraft.data.sampling import Draw, ScoringSampler, StepSampler
from visiongraft.detect.opening import open_detection
from visiongraft.detect.samples import DetectionSamples, make_detection_loader
from visiongraft.detect.scenes import (
    MEAN_COLOR,
    ColorJitter,
    Flip,
    ScaleJitter,
    Scene,
    ShortSide,
    cut_out,
    steps_for,
    without_vanished,
)
from visiongraft.detect.scores import Prediction, score
from visiongraft.errors import DataError

STEPS = (ScaleJitter((48, 64), 0.5, 2.0), Flip(), ColorJitter(0.3))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_detection(write_coco(tmp_path_factory.mktemp("boxes") / "set"))


def scene_of(boxes, size=(HEIGHT, WIDTH)):
    """Make a scene in which each object is a full rectangle of a colour of its own."""
    image, masks = torch.zeros(3, *size, dtype=torch.uint8), torch.zeros(len(boxes), *size, dtype=torch.uint8)
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        image[:, y0:y1, x0:x1] = 50 * (number + 1)
        masks[number, y0:y1, x0:x1] = 1
    return Scene(
        tv_tensors.Image(image),
        tv_tensors.BoundingBoxes(torch.tensor(boxes).reshape(-1, 4).float(), format="XYXY", canvas_size=size),
        tv_tensors.Mask(masks),
        torch.arange(len(boxes)) + 1,
        torch.zeros(len(boxes), dtype=torch.bool),
    )


def drawn(seed):
    return torch.Generator().manual_seed(seed)


def is_same(one, other):
    keys = one.target.keys()
    return (
        torch.equal(one.image, other.image)
        and keys == other.target.keys()
        and all(torch.equal(one.target[key], other.target[key]) for key in keys - {"image_id", "name"})
    )


def test_without_steps_a_sample_is_the_image_and_what_the_file_says(data):
    image, target, index = DetectionSamples(data.train, wanted="masks")[Draw(0, 1)]
    assert torch.equal(image.permute(1, 2, 0), torch.from_numpy(np.array(data.train.load(1))))
    assert type(image) is type(target["boxes"]) is type(target["masks"]) is torch.Tensor
    assert target["boxes"].tolist() == [[4, 5, 12, 13], [10, 5, 18, 13]]
    assert target["boxes"].dtype == torch.float32
    assert target["labels"].tolist() == [1, 2]
    assert target["labels"].dtype == torch.int64
    assert target["masks"].shape == (2, HEIGHT, WIDTH)
    assert target["masks"].dtype == torch.uint8
    assert target["area"].tolist() == [64, 64]
    assert target["iscrowd"].tolist() == [0, 0]
    assert target["image_id"] == index == 1
    assert target["name"].endswith("train2017/2.png")
    assert "masks" not in DetectionSamples(data.train)[Draw(0, 1)].target


def test_an_image_that_shows_nothing_has_a_target_of_nothing(data):
    target = DetectionSamples(data.train, STEPS, wanted="masks")[Draw(0, 2)].target
    assert target["boxes"].shape == (0, 4)
    assert target["labels"].shape == target["area"].shape == target["iscrowd"].shape == (0,)
    assert target["masks"].shape == (0, 48, 64)


def test_a_sample_follows_from_seed_epoch_and_index_alone(data):
    samples = DetectionSamples(data.train, STEPS, wanted="masks", seed=3)
    first = [samples[Draw(epoch, index)] for epoch in range(2) for index in range(3)]
    torch.rand(7)
    state = torch.get_rng_state()
    again = [samples[Draw(epoch, index)] for epoch in (1, 0) for index in (2, 1, 0)][::-1]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(is_same(*pair) for pair in zip(first, again, strict=True))
    assert not is_same(first[0], first[3])
    assert not is_same(first[0], DetectionSamples(data.train, STEPS, wanted="masks", seed=4)[Draw(0, 0)])


def test_worker_processes_make_the_same_batches(data):
    samples = DetectionSamples(data.train, STEPS, wanted="masks")

    def batches(workers):
        sampler = StepSampler(3, batch_size=2, epochs=3, seed=0)
        return list(make_detection_loader(samples, sampler, workers=workers))

    here, there = batches(0), batches(2)
    assert len(here) == 3
    for one, other in zip(here, there, strict=True):
        assert one.indices == other.indices
        assert all(torch.equal(*pair) for pair in zip(one.images, other.images, strict=True))
        for mine, theirs in zip(one.targets, other.targets, strict=True):
            assert torch.equal(mine["masks"], theirs["masks"])


def test_a_detector_may_learn_from_one_image_at_a_time(data):
    sampler = StepSampler(3, batch_size=1, epochs=1, seed=0, fewest=1)
    assert sorted(batch.indices for batch in make_detection_loader(DetectionSamples(data.train), sampler)) == [
        (0,),
        (1,),
        (2,),
    ]


def test_a_batch_may_hold_images_of_several_sizes_and_none_that_is_damaged(tmp_path):
    root = write_coco(tmp_path / "set")
    Image.new("RGB", (8, 8)).save(root / "train2017" / "2.png")
    samples = DetectionSamples(open_detection(root).train, (ShortSide((20, 24), 100),))
    (batch,) = make_detection_loader(samples, ScoringSampler(3, batch_size=3))
    assert batch.indices == (0, 2)
    assert [each.shape[0] for each in batch.inputs()] == [3, 3]
    assert batch.inputs()[0].dtype == torch.float32
    assert batch.inputs()[0].max() <= 1
    (failure,) = batch.failures
    assert isinstance(failure, Failure)
    assert failure.index == 1
    assert failure.reason == "it has 8 x 8 pixels, and its annotations are for 40 x 30"
    moved = batch.to(torch.device("cpu"))
    assert moved.targets[0]["image_id"] == 0
    assert torch.equal(moved.targets[0]["boxes"], batch.targets[0]["boxes"])


def test_crowds_are_not_learnt_from_unless_they_are_asked_for(tmp_path):
    content = document()
    content["annotations"][1]["iscrowd"] = 1
    train = open_detection(write_coco(tmp_path / "set", content)).train
    assert DetectionSamples(train)[Draw(0, 1)].target["labels"].tolist() == [2]
    kept = DetectionSamples(train, crowd="keep")[Draw(0, 1)].target
    assert kept["labels"].tolist() == [1, 2]
    assert kept["iscrowd"].tolist() == [1, 0]


def test_masks_cannot_be_learnt_from_objects_without_a_shape(tmp_path):
    content = document()
    content["annotations"][2]["segmentation"] = []
    train = open_detection(write_coco(tmp_path / "set", content)).train
    with pytest.raises(
        DataError, match=r"Masks are to be learnt, and 1 of 3 objects have none, the first on '.*2\.png' \(its 201\)"
    ):
        DetectionSamples(train, wanted="masks")
    assert len(DetectionSamples(train)) == 3


def test_mirroring_mirrors_boxes_and_masks_with_the_pixels():
    scene = Flip(1.0)(scene_of([(2, 3, 10, 9)]), drawn(0))
    assert scene.boxes.tolist() == [[WIDTH - 10, 3, WIDTH - 2, 9]]
    assert torch.equal(scene.masks[0].bool(), scene.image[0] > 0)
    assert Flip(0.0)(scene, drawn(0)) is scene


@pytest.mark.parametrize("seed", range(12))
def test_jittered_boxes_masks_and_pixels_stay_together(seed):
    boxes = [(4, 5, 16, 14), (20, 2, 36, 28), (0, 20, 10, 30)]
    scene = without_vanished(ScaleJitter((48, 64), 0.4, 2.5)(scene_of(boxes), drawn(seed)))
    assert scene.image.shape == (3, 48, 64)
    assert scene.masks.shape[1:] == (48, 64)
    for label, mask, box in zip(scene.labels.tolist(), scene.masks, scene.boxes.tolist(), strict=True):
        rows, columns = mask.any(dim=1).nonzero().flatten(), mask.any(dim=0).nonzero().flatten()
        seen = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert box == pytest.approx([float(each) for each in seen], abs=1.01)
        inside = mask[1:-1, 1:-1].bool() & mask[2:, 1:-1].bool() & mask[:-2, 1:-1].bool()
        inside &= mask[1:-1, 2:].bool() & mask[1:-1, :-2].bool()
        colors = scene.image[0, 1:-1, 1:-1][inside].int()
        assert len(colors) == 0 or int(colors.median()) == pytest.approx(50 * label, rel=0.15)


def test_jitter_draws_sizes_from_the_whole_range_and_pads_with_the_mean_colour():
    scales, padded = [], 0
    for seed in range(200):
        scene = ScaleJitter((60, 80), 0.1, 2.0)(scene_of([(0, 0, WIDTH, HEIGHT)]), drawn(seed))
        seen = scene.masks[0].float().sum(dim=0).max() / 60  # height shown, as a share of what comes out
        scales.append(float(seen))
        if tuple(scene.image[:, -1, -1].tolist()) == MEAN_COLOR:
            padded += 1
            assert not scene.masks[0, -1, -1]
    assert min(scales) < 0.15
    assert max(scales) == 1.0
    assert 60 < padded < 130  # about 0.9 of 1.9


def test_the_box_of_a_cut_object_is_that_of_what_is_left_of_its_shape():
    scene = scene_of([(0, 0, 20, 20)])
    scene.masks[0, 10:, :10] = 0  # an L, of which the window sees the short leg alone
    cut = without_vanished(cut_out(scene, (0, 0), (HEIGHT, 10), (HEIGHT, 10)))
    assert cut.boxes.tolist() == [[0, 0, 10, 10]]


@pytest.mark.parametrize("size", [(10, 10), (60, 80), (6, 8), (20, 29)])
def test_masks_are_resized_about_the_middles_of_pixels_as_images_are(size):
    scene = cut_out(scene_of([(10, 0, 20, 20)], (20, 30)), (0, 0), (20, 30), size)
    rows, columns = scene.masks[0].any(dim=1), scene.masks[0].any(dim=0).nonzero().flatten()
    assert rows.all()
    left, right = scene.boxes[0, ::2].tolist()
    assert [int(columns[0]), int(columns[-1]) + 1] == pytest.approx([left, right], abs=0.5)


def test_objects_outside_the_window_vanish_and_the_image_stays():
    scene = scene_of([(0, 0, 8, 8), (30, 20, 40, 30)])
    kept = without_vanished(cut_out(scene, (0, 0), (10, 10), (20, 20)))
    assert kept.labels.tolist() == [1]
    assert kept.boxes.tolist() == [[0, 0, 16, 16]]
    none = without_vanished(cut_out(scene, (10, 10), (5, 5), (20, 20)))
    assert none.boxes.shape == (0, 4)
    assert none.masks.shape == (0, 20, 20)
    assert none.image.shape == (3, 20, 20)


def test_an_object_whose_mask_lost_its_last_pixel_has_vanished():
    scene = scene_of([(0, 0, 8, 8)])
    for place, left in [(1, 1), (2, 0)]:  # at half the size, every second pixel is shown, from the second one on
        scene.masks[0] = 0
        scene.masks[0, place, place] = 1
        assert len(without_vanished(cut_out(scene, (0, 0), scene.size, (15, 20))).labels) == left
    scene.masks[0] = 0
    assert len(without_vanished(scene).labels) == 0


def test_the_short_side_is_drawn_and_the_long_side_limited():
    sizes = {ShortSide((24, 36), 60)(scene_of([]), drawn(seed)).size for seed in range(20)}
    assert sizes == {(24, 32), (36, 48)}
    assert ShortSide((36,), 40)(scene_of([]), drawn(0)).size == (30, 40)


def test_the_usual_steps_are_those_of_a_papers_sizes():
    assert steps_for((800,), 1333) == (ShortSide((800,), 1333), Flip())
    assert steps_for((1024,), 1024, (0.1, 2.0), color=0.2) == (
        ScaleJitter((1024, 1024), 0.1, 2.0),
        Flip(),
        ColorJitter(0.2),
    )


def test_a_detector_learns_from_a_batch_and_what_it_finds_is_scored(data):
    detector = built("mask_rcnn", num_classes=2)
    detector.transform._skip_resize = True
    samples = DetectionSamples(data.train, steps_for((64,), 64, (0.5, 2.0)), wanted="masks")
    (batch,) = make_detection_loader(samples, StepSampler(3, batch_size=3, epochs=1, seed=0))
    assert {each.shape for each in batch.images} == {(3, 64, 64)}
    losses = detector(batch.inputs(), batch.targets)
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    detector.eval()
    shown = DetectionSamples(data.val)
    with torch.inference_mode():
        (batch,) = make_detection_loader(shown, ScoringSampler(3, batch_size=3))
        found = dict(zip(batch.indices, map(Prediction.of, detector(batch.inputs())), strict=True))
    scores = score(data.val, found, categories=2)
    assert 0 <= scores.box.ap50 <= 1
    assert 0 <= scores.mask.ap50 <= 1
    assert all(shape.size == (HEIGHT, WIDTH) for each in found.values() for shape in each.masks)


def test_colours_change_and_places_do_not():
    scene = scene_of([(4, 5, 16, 14)])
    other = ColorJitter(0.5)(scene, drawn(1))
    assert not torch.equal(other.image, scene.image)
    assert torch.equal(other.boxes, scene.boxes)
    assert torch.equal(ColorJitter(0.0)(scene, drawn(1)).image, scene.image)


def test_a_data_set_is_the_same_until_something_in_it_changes(tmp_path, data):
    from visiongraft.data.fingerprint import changes
    from visiongraft.detect.fingerprint import detection_fingerprint

    content = document()
    root = write_coco(tmp_path / "set", content)
    before = detection_fingerprint(open_detection(root))
    assert changes(before, detection_fingerprint(open_detection(root))) == []
    assert before == detection_fingerprint(data)
    content["annotations"][0]["segmentation"][0][0] += 0.5
    write_json(root / "annotations" / "instances_train2017.json", content)
    told = changes(before, detection_fingerprint(open_detection(root)))
    assert told == ["has other images or labels to learn from than it had"]
