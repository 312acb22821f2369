"""A comparison runs what is not finished, keeps to its plan, and goes on where it was stopped."""

import csv
import json
import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.compare.played import NAMES, Stage, plan, speeds
from tests.pictures import write_folder
from visiongraft.compare import trials
from visiongraft.compare.budget import Pace
from visiongraft.compare.folder import ComparisonFolder
from visiongraft.compare.plan import mark_of
from visiongraft.compare.trials import Circumstances, run_comparison
from visiongraft.data.sources import open_data
from visiongraft.errors import GraftError, RunError

ALL = [(name, seed) for seed in range(3) for name in NAMES]


def test_each_network_is_trained_with_each_seed_and_all_of_it_is_written_down(stage) -> None:
    played = stage()
    found = played.run()
    assert played.trained == ALL
    assert played.told[:3] == ["9 runs, 0 finished", "resnet_pico 0", "0.500"]
    rows = list(csv.DictReader(found.folder.table.read_text().splitlines()))
    assert [row["model"] for row in rows] == list(NAMES)
    assert [row["top1_seed_1"] for row in rows] == ["0.525", "0.775", "0.55"]
    assert [row["epochs"] for row in rows] == ["2"] * 3
    assert (rows[0]["difference"], rows[0]["reference"]) == ("", "resnet_pico")
    assert float(rows[1]["difference"]) == pytest.approx(0.25)
    assert (found.folder.run("botnet_pico", 2).path / "config.yaml").read_text().startswith("model: botnet_pico\n")


def test_a_finished_comparison_trains_nothing_and_gives_the_same_numbers(stage) -> None:
    played = stage()
    first = played.run().as_csv()
    played.trained.clear()
    assert played.run().as_csv() == first
    assert played.trained == []
    assert played.told[-1] == "9 runs, 9 finished"


@pytest.mark.parametrize("unreadable", [False, True])
@pytest.mark.parametrize("event", ["kill", "interrupt"])
def test_a_stopped_run_goes_on_in_its_folder_and_finished_ones_are_kept(stage, event: str, unreadable: bool) -> None:
    played = stage(events={("botnet_pico", 1): event})
    played.unreadable = unreadable
    with pytest.raises((RuntimeError, KeyboardInterrupt)):
        played.run()
    assert played.trained == ALL[:5]
    assert not ComparisonFolder(played.path).result("botnet_pico", 1).exists()
    assert ComparisonFolder(played.path).run("botnet_pico", 1).last.read_bytes() == b"state"
    played.trained.clear()
    found = played.run()
    assert played.trained == ALL[4:]
    assert found.as_csv().encode() == found.folder.table.read_bytes()


def test_what_is_to_be_known_of_a_run_that_goes_on_is_told_once_and_before_its_steps(stage) -> None:
    played = stage(events={("botnet_pico", 1): "kill"})
    heard = []
    for event in ("kill", "", ""):  # killed once more when it had told
        with suppress(RuntimeError):
            played.run()
        heard.append(played.told.count("Its last bits will differ."))
        played.events = {("botnet_pico", 1): event}
        played.told.clear()
    assert heard == [0, 1, 1]


def test_a_comparison_that_was_killed_and_then_stopped_ends_with_the_answers_of_one_that_was_not(
    tmp_path: Path, monkeypatch
) -> None:
    """With real trainings: killed in the first epoch of the second run, stopped by Ctrl-C in the last of the third."""
    monkeypatch.setattr(trials, "measure_speeds", speeds)
    monkeypatch.setattr(trials, "train", partial(trials.train, save_minutes=0.0))
    pictures = write_folder(tmp_path / "stripes")
    (pictures / "train" / "lying" / "001.png").write_bytes(b"")
    data = open_data(pictures)
    asked = plan(("resnet_pico", "convmixer_pico"), data=mark_of(data), seeds=(0, 1))

    def run(name: str, ends: Callable[[], None] = lambda: None) -> dict[str, str]:
        folder = ComparisonFolder(tmp_path / name)
        around = Circumstances(data, folder, torch.device("cpu"), 0, 0.01, {}, Ending(6, ends))
        run_comparison(asked, around)
        return {
            path.parent.name + path.parent.parent.name: re.sub(r'"seconds": [^,]*,', "", path.read_text())
            for path in folder.path.rglob("result.json")
        }

    expected = run("whole")
    with pytest.raises(RuntimeError, match="killed"):
        run("ended", killed)
    with pytest.raises(KeyboardInterrupt):
        run("ended", partial(os.kill, os.getpid(), signal.SIGINT))
    stopped = ComparisonFolder(tmp_path / "ended")
    assert [stopped.result(entry.name, seed).exists() for entry, seed in asked] == [True, True, False, False]
    third = stopped.run("resnet_pico", 1)
    assert third.last.exists() and third.unreadable.exists()
    assert run("ended") == expected
    assert len(expected) == 4


def killed() -> None:
    raise RuntimeError("killed")


class Ending(Stage):
    """A witness that does something at a step, counted over all runs."""

    def __init__(self, at: int, ends: Callable[[], None]) -> None:
        super().__init__(Path(), {})
        self.left, self.ends = at, ends

    def step(self, done: int, steps: int) -> None:
        self.left -= 1
        if self.left == 0:
            self.ends()


def test_a_finished_run_keeps_no_training_state(stage) -> None:
    played = stage()
    found = played.run()
    assert list(found.folder.path.rglob("*.ckpt")) == []


def test_a_run_that_diverges_stops_no_other_and_its_network_is_not_compared(stage) -> None:
    played = stage(events={("botnet_pico", 1): "diverge"})
    found = played.run()
    assert played.trained == ALL
    assert [row.score is None for row in found.rows] == [False, True, False]
    assert found.rows[1].difference is None and found.rows[2].difference is not None
    assert found.answers[0] == "botnet_pico cannot be compared with resnet_pico: botnet_pico diverged with seed 1."
    assert found.rows[1].failures[0].reason == "At step 1 of 2 the loss is nan. Use a lower --lr."
    played.trained.clear()
    played.run()
    assert played.trained == []  # it would diverge again


def test_where_the_reference_diverged_nothing_is_compared(stage) -> None:
    found = stage(events={("resnet_pico", 0): "diverge"}).run()
    assert found.answers[1] == "cotnet_pico cannot be compared with resnet_pico: resnet_pico diverged with seed 0."
    assert found.rows[2].score is not None


def test_another_reference_is_another_table_of_the_same_runs(stage) -> None:
    played = stage()
    played.run()
    played.trained.clear()
    found = played.run(reference="botnet_pico")
    assert played.trained == []
    assert [row.difference is None for row in found.rows] == [False, True, False]
    assert "behind botnet_pico" in found.answers[0]


def test_the_folder_of_another_comparison_is_refused_and_what_differs_is_said(stage) -> None:
    played = stage()
    played.run()
    with pytest.raises(RunError) as refusal:
        played.run(names=NAMES[:2], seeds=(0, 1))
    assert str(refusal.value) == (
        f"{played.path} holds another comparison: it has the models resnet_pico, botnet_pico, cotnet_pico and not"
        " resnet_pico, botnet_pico; 3 seeds and not 2 seeds. Give another --output, or what it has."
    )


def test_a_folder_that_holds_something_else_is_refused(stage) -> None:
    played = stage()
    played.path.mkdir()
    (played.path / "thesis.txt").write_text("precious")
    with pytest.raises(RunError, match="holds no comparison, and is not empty. Give another --output"):
        played.run()
    assert (played.path / "thesis.txt").read_text() == "precious"


def test_a_damaged_plan_and_a_damaged_result_are_told_apart_from_missing_ones(stage) -> None:
    played = stage()
    found = played.run()
    result = found.folder.result("cotnet_pico", 0)
    result.write_text(result.read_text()[:50])
    with pytest.raises(RunError, match=r"result.json is damaged: .* Delete it, and this run is repeated"):
        played.run()
    result.unlink()
    played.trained.clear()
    played.run()
    assert played.trained == [("cotnet_pico", 0)]
    found.folder.plan.write_text("{")
    with pytest.raises(RunError, match=r"plan.json is damaged, or of another version: .* Give another --output"):
        played.run()


def test_two_at_once_in_one_folder_are_kept_apart(stage) -> None:
    played = stage()
    with (
        ComparisonFolder(played.path).held(),
        pytest.raises(RunError, match="Another `graft compare` is at work in .* Wait until it ends"),
    ):
        played.run()
    played.run()


def test_sigterm_names_the_command_that_goes_on(stage) -> None:
    played = stage({("botnet_pico", 0): "order"})
    with pytest.raises(RunError) as ended:
        played.run()
    assert str(ended.value) == (
        f"The comparison was told to end. It is saved in {played.path}, and the same `graft compare` command goes on."
    )


def test_nothing_is_written_into_a_folder_that_is_refused(stage) -> None:
    played = stage()
    played.path.mkdir(exist_ok=True)
    for name in (".lock", ".visiongraft.lock"):
        (played.path / name).write_text("another program's")
    before = sorted(played.path.iterdir())
    with pytest.raises(RunError, match=r"holds no comparison, and is not empty\. Give another --output\."):
        played.run()
    assert sorted(played.path.iterdir()) == before
    assert {each.read_text() for each in before} == {"another program's"}


def test_a_budget_becomes_epochs_once_and_is_kept(stage, monkeypatch: pytest.MonkeyPatch) -> None:
    played = stage()
    paces = {name: Pace((1.0 + place,) * 3, 4, 0.0) for place, name in enumerate(NAMES)}

    def measured(specs, *_, on_network, **__):
        for spec in specs:
            on_network(spec.name)
        return paces

    monkeypatch.setattr(trials, "measure_paces", measured)
    found = played.run(budget=9 * 24.0)
    assert [row.entry.epochs for row in found.rows] == [6, 3, 2]
    assert [row.entry.epoch_seconds for row in found.rows] == [4.0, 8.0, 12.0]
    assert played.told[:3] == [f"timing {name}" for name in NAMES]
    played.told.clear()
    paces["resnet_pico"] = Pace((100.0,) * 3, 4, 0.0)  # a slower machine changes the plan no more
    assert [row.entry.epochs for row in played.run(budget=9 * 24.0).rows] == [6, 3, 2]
    assert played.told == ["9 runs, 9 finished"]


def test_too_small_a_budget_leaves_no_plan(stage, monkeypatch: pytest.MonkeyPatch) -> None:
    played = stage()
    monkeypatch.setattr(trials, "measure_paces", lambda *_, **__: {name: Pace((9.0,) * 3, 4, 0.0) for name in NAMES})
    with pytest.raises(GraftError, match="--budget 60s is too small"):
        played.run(budget=60.0)
    assert not ComparisonFolder(played.path).plan.exists()


def test_the_plan_says_its_version_and_holds_the_networks(stage) -> None:
    document = json.loads(stage().run().folder.plan.read_text())
    assert document["format"] == "visiongraft.comparison/2"
    assert [each["spec"]["name"] for each in document["entries"]] == list(NAMES)


def test_images_that_one_run_could_not_read_are_left_out_of_all_pairs(stage) -> None:
    played = stage()
    found = played.run()
    path = found.folder.result("botnet_pico", 0)
    document = json.loads(path.read_text())
    for key in ("indices", "labels", "predictions"):
        document[key] = document[key][:0:-1]  # all but the first, in another order
    path.write_text(json.dumps(document))
    gain = played.run().rows[1].difference
    assert gain.estimate.mean == pytest.approx(30 / 39 - 20 / 39)


def test_a_folder_that_cannot_be_written_is_refused(stage, tmp_path: Path) -> None:
    played = stage()
    (tmp_path / "file").write_text("")
    played.path = tmp_path / "file" / "inside"
    with pytest.raises(RunError, match="cannot be written: Not a directory. Give another --output"):
        played.run()
