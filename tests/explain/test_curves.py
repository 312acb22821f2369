"""The course of a training: rows read back, the epoch that was kept, and drawings."""

import re

import pytest
from matplotlib import rc_context

from visiongraft.explain.curves import Epoch, Pace, Validation, drawings, pace_of_all, read_epochs, to_svg
from visiongraft.train.run import RunFolder


def epochs(*validations: tuple[float, float] | None) -> tuple[Epoch, ...]:
    return tuple(
        Epoch(number, 0.001, 2.0 / number, val and Validation(*val)) for number, val in enumerate(validations, start=1)
    )


def test_an_epoch_that_was_not_validated_is_read_as_such(tmp_path):
    run = RunFolder(tmp_path)
    run.append_metrics({"epoch": 1, "lr": 1e-3, "train_loss": 1.5, "val_loss": None, "val_top1": None})
    run.append_metrics({"epoch": 2, "lr": 0.0, "train_loss": 1.25, "val_loss": 1.0, "val_top1": 0.5})
    assert read_epochs(run.metrics) == (Epoch(1, 1e-3, 1.5, None), Epoch(2, 0.0, 1.25, Validation(1.0, 0.5)))


def test_the_pace_of_all_epochs_weighs_them_by_their_time(tmp_path):
    run = RunFolder(tmp_path)
    for number, (speed, wait) in enumerate([(100.0, 0.1), (50.0, 0.4)], start=1):
        row = {"epoch": number, "lr": 1e-3, "train_loss": 1.5, "train_images_per_second": speed, "wait_share": wait}
        run.append_metrics({**row, "val_loss": None, "val_top1": None})
    found = read_epochs(run.metrics)
    assert found[1].pace == Pace(50.0, 0.4)
    assert pace_of_all(found) == pytest.approx(Pace(200 / 3, 0.3))
    assert pace_of_all((*found, Epoch(3, 0.0, 1.0, None))) is None
    assert pace_of_all([]) is None


def test_curves_pass_only_through_the_epochs_that_were_validated():
    loss, top1, _ = drawings(epochs(None, (1.0, 0.5), None, (0.5, 0.75)), 4)
    assert [line.name for line in loss.lines] == ["training", "validation"]
    assert [number for number, _ in loss.lines[0].points] == [1, 2, 3, 4]
    assert loss.lines[1].points == ((2, 1.0), (4, 0.5))
    assert (top1.lines[0].points, top1.best) == (((2, 0.5), (4, 0.75)), 4)
    assert top1.summary == "Top-1: validation from 0.5 in epoch 2 to 0.75 in epoch 4."


@pytest.mark.parametrize("course", [epochs(*[(1.0, 0.5)] * 2), epochs(*[(1.0, 0.5)] * 40)], ids=["two", "forty"])
def test_a_drawing_takes_its_colours_and_font_from_the_page_and_keeps_its_text(course):
    for drawing in drawings(course, 1):
        svg = to_svg(drawing)
        assert svg.startswith("<svg viewBox=")
        assert "var(--right)" in svg
        assert not re.search(r"#[0-9a-f]{6}|font-family|<style|<metadata|http", svg)
        assert re.search(r"<text [^>]*>epoch</text>", svg)


def test_what_has_a_single_point_is_not_drawn():
    assert drawings(epochs((1.0, 0.5)), 1) == ()
    assert [each.name for each in drawings(epochs(None, (1.0, 0.5)), 2)] == ["loss", "lr"]


def test_drawings_on_one_page_share_no_id():
    ids = [
        each
        for drawing in drawings(epochs((1.0, 0.5), (0.5, 0.75)), 2)
        for each in re.findall(r'id="([^"]+)"', to_svg(drawing))
    ]
    assert len(ids) == len(set(ids)) > 20


def test_the_users_own_settings_of_matplotlib_change_nothing():
    drawing = drawings(epochs((1.0, 0.5), (0.5, 0.75)), 2)[0]
    usual = to_svg(drawing)
    with rc_context({"lines.linewidth": 9, "axes.facecolor": "red", "svg.fonttype": "path", "font.size": 40}):
        assert to_svg(drawing) == usual
