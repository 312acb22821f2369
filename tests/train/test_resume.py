"""A run that was killed and taken up again ends with the bits of one that was not."""

import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from platform import node
from threading import Barrier

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.pictures import SIDE, stripes, write_folder, write_npz
from tests.train.endings import ending, same
from tests.train.killer import Killed, Killer
from tests.train.test_engine import CPU, QUICK, READING
from visiongraft.data.sources import open_data
from visiongraft.errors import RunError
from visiongraft.families.zoo import get_spec
from visiongraft.preprocessing import Preprocessing
from visiongraft.train import classification, loop
from visiongraft.train.classification import Classifying
from visiongraft.train.devices import Hardware
from visiongraft.train.engine import Outcome, train
from visiongraft.train.recipe import Recipe
from visiongraft.train.run import RunFolder, plan_run
from visiongraft.train.state import State, notes_on, read_in_all, read_state, write_state
from visiongraft.train.stopping import listening
from visiongraft.train.team import Team
from visiongraft.weights.store import read

RICH = replace(
    QUICK,
    epochs=3,
    val_every=2,
    drop_path=0.2,
    dropout=0.1,
    rotation=10.0,
    color_jitter=0.2,
    flip=0.5,
    grow_from=0.5,
    multi_scale=0.2,
    cutout=4,
    reprob=0.5,
    mixup=0.4,
    cutmix=1.0,
    mixup_prob=0.9,
    model_ema_decay=0.8,
    sampler="balanced",
)
"""A recipe that draws all that a recipe can."""


def begin(folder: RunFolder, data: Path, recipe: Recipe = RICH, **more) -> Outcome:
    spec = get_spec(more.pop("model", "coatnet_pico")).at(SIDE)
    more = {"save_minutes": 0.0, "hardware": CPU, **more}
    return train(Classifying(spec, open_data(data), recipe, Preprocessing(spec.image)), folder, **more)


def killed(folder: RunFolder, data: Path, *, after: int, **more) -> None:
    """Run until a step is done but not yet saved."""
    with pytest.raises(Killed):
        begin(folder, data, listener=Killer(after), resume="allowed", **more)


def go_on(folder: RunFolder, data: Path, **more) -> Outcome:
    torch.manual_seed(4321)  # another process has another state
    return begin(folder, data, resume="allowed", **more)


@pytest.mark.parametrize(
    ("recipe", "hardware"),
    [
        (RICH, CPU),
        (replace(RICH, opt="adamw", layer_decay=0.8, aa="rand-m9-mstd0.5", mixup=0.0), READING),
        (
            replace(RICH, opt="lamb", grad_accum_steps=2, clip_grad=0.0, freeze="stem", aug_repeats=2, sampler="none"),
            CPU,
        ),
    ],
    ids=["muon", "adamw-workers", "lamb-accumulated"],
)
def test_a_run_that_was_killed_twice_ends_as_one_that_was_not(
    tmp_path: Path, recipe: Recipe, hardware: Hardware
) -> None:
    data = write_folder(tmp_path / "stripes")
    broken = data / "train" / "lying" / "001.png"
    broken.write_bytes(broken.read_bytes()[:60])
    through = begin(plan_run(tmp_path / "through", name=""), data, recipe, hardware=hardware)
    steps = read_state(through.run)[0].progress.step
    assert steps == 6
    folder = plan_run(tmp_path / "killed", name="")
    killed(folder, data, recipe=recipe, hardware=hardware, after=1)
    killed(folder, data, recipe=recipe, hardware=hardware, after=4)
    resumed = go_on(folder, data, recipe=recipe, hardware=hardware)
    assert same(ending(resumed.run), ending(through.run))
    assert resumed.evaluation.loss == through.evaluation.loss
    assert (resumed.epochs, resumed.best_epoch) == (through.epochs, through.best_epoch)


@pytest.mark.parametrize("after", [2, 4, 6])
def test_it_does_not_matter_after_which_step_a_run_is_killed(tmp_path: Path, after: int, through: Outcome) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = plan_run(tmp_path / "killed", name="")
    killed(folder, data, after=after)
    assert same(ending(go_on(folder, data).run), ending(through.run))


@pytest.fixture(scope="module")
def through(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A run of six steps that nobody kills."""
    place = tmp_path_factory.mktemp("through")
    return begin(plan_run(place / "run", name=""), write_npz(place / "stripes.npz", train=32))


@pytest.mark.parametrize("moment", ["later", "before its state", "after its state"])
def test_the_best_weights_are_those_that_the_state_knows_of_whenever_a_run_is_killed(
    tmp_path: Path, through: Outcome, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = plan_run(tmp_path / "killed", name="")
    usual = loop.write_state, RunFolder.promote

    def write(run: RunFolder, state: State) -> None:
        if run.coming.exists() and moment == "before its state":
            raise Killed
        usual[0](run, state)

    def promote(run: RunFolder) -> None:
        if run.coming.exists() and moment == "after its state":
            raise Killed
        usual[1](run)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "write_state", write)
        patch.setattr(RunFolder, "promote", promote)
        killed(folder, data, after=3, save_minutes=60.0)
    if moment == "before its state":
        assert read_state(folder)[0].progress.best is None
        assert not folder.best.exists()
    killed(folder, data, after=4, save_minutes=60.0)
    state, _ = read_state(folder)
    assert read(folder.best).scores == state.progress.best.row
    assert not folder.coming.exists()
    assert same(ending(go_on(folder, data).run), ending(through.run))


def test_a_state_is_loaded_without_running_code_and_holds_plain_values(through: Outcome) -> None:
    document = torch.load(through.run.last, weights_only=True)
    assert document["version"] == 2
    assert set(document) == {"version", "belongs", "progress", "tallies", "tensors"}
    assert document["belongs"]["recipe"]["epochs"] == 3


def test_when_states_are_written_changes_nothing(tmp_path: Path, through: Outcome) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    seldom = begin(plan_run(tmp_path / "seldom", name=""), data, save_minutes=60.0)
    assert same(ending(seldom.run), ending(through.run))


def test_a_run_that_is_over_is_over_when_it_is_taken_up_again(tmp_path: Path, through: Outcome) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = RunFolder(Path(shutil.copytree(through.run.path, tmp_path / "copy")))
    again = go_on(folder, data)
    assert same(ending(again.run), ending(through.run))
    assert again.evaluation.loss == through.evaluation.loss


def test_a_damaged_state_is_told_and_the_one_before_it_taken(tmp_path: Path, through: Outcome) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = RunFolder(Path(shutil.copytree(through.run.path, tmp_path / "copy")))
    content = bytearray(folder.last.read_bytes())
    content[len(content) // 2] ^= 1  # one bit, in the middle of a tensor
    folder.last.write_bytes(content)
    resumed = go_on(folder, data)
    (note,) = resumed.notes
    assert note.startswith(f"{folder.last} is damaged (")
    assert note.endswith(f"): the run goes on from {folder.before}, which is of step 5.")
    assert same(ending(resumed.run), ending(through.run))


def test_a_damaged_state_never_takes_the_place_of_the_whole_one(tmp_path: Path, through: Outcome) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = RunFolder(Path(shutil.copytree(through.run.path, tmp_path / "copy")))
    folder.last.write_bytes(folder.last.read_bytes()[:1000])
    killed(folder, data, after=6, save_minutes=60.0)  # before it has written another
    state, note = read_state(folder)
    assert (state.progress.step, note) == (5, None)
    assert same(ending(go_on(folder, data).run), ending(through.run))


def test_a_resumed_run_that_fails_before_its_first_validation_keeps_the_state_that_it_went_on_from(
    tmp_path: Path,
) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=64)
    folder = plan_run(tmp_path / "run", name="")
    with pytest.MonkeyPatch.context() as patch:  # a process that is killed tidies nothing up
        patch.setattr(RunFolder, "discard_if_fruitless", lambda self: None)
        killed(folder, data, after=3)
    folder.last.write_bytes(folder.last.read_bytes()[:1000])
    killed(folder, data, after=2, save_minutes=60.0)  # as by an error: there are no weights worth keeping yet
    state, note = read_state(folder)
    assert (state.progress.step, note) == (1, None)
    through = begin(plan_run(tmp_path / "through", name=""), data)
    assert same(ending(go_on(folder, data).run), ending(through.run))


def test_a_run_whose_states_are_gone_is_left_as_it_is(tmp_path: Path, through: Outcome) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = RunFolder(Path(shutil.copytree(through.run.path, tmp_path / "copy")))
    folder.last.unlink()
    folder.before.unlink()
    kept = {each: each.read_bytes() for each in folder.path.iterdir()}
    with pytest.raises(
        RunError,
        match=r"copy cannot go on: its states, last\.ckpt and before\.ckpt, are gone\. Put one back, or train anew by"
        r" `graft train --config .*config\.yaml --output` and another folder\.",
    ):
        go_on(folder, data)
    assert {each: each.read_bytes() for each in folder.path.iterdir()} == kept


def test_two_damaged_states_are_refused_with_what_to_do(tmp_path: Path, through: Outcome) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = RunFolder(Path(shutil.copytree(through.run.path, tmp_path / "copy")))
    for path in (folder.last, folder.before):
        path.write_bytes(path.read_bytes()[:1000])
    kept = sorted(folder.path.iterdir())
    with pytest.raises(RunError, match=r"last\.ckpt is damaged \(.*before\.ckpt is damaged .* again with --config"):
        go_on(folder, data)
    assert sorted(folder.path.iterdir()) == kept


def test_a_state_of_the_first_version_is_taken_up_as_its_run_left_it(tmp_path: Path, through: Outcome) -> None:
    """It kept the score of a classifier by itself, and knew of no terms of a loss."""
    folder = RunFolder(Path(shutil.copytree(through.run.path, tmp_path / "copy")))
    for path in (folder.last, folder.before):
        document = torch.load(path, weights_only=True)
        best = document["progress"]["best"]
        row = best.pop("row")
        best |= {"top1": row["val_top1"], "loss": row["val_loss"]}
        for each in document["tallies"]:
            del each["terms"]
        torch.save(document | {"version": 1}, path)
    folder.before.replace(folder.last)
    again = go_on(folder, write_npz(tmp_path / "stripes.npz", train=32))
    assert same(ending(again.run), ending(through.run))


def test_a_state_of_another_version_is_refused(tmp_path: Path, through: Outcome) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = RunFolder(Path(shutil.copytree(through.run.path, tmp_path / "copy")))
    torch.save(torch.load(folder.last, weights_only=True) | {"version": 3}, folder.last)
    with pytest.raises(
        RunError, match=r"is of version 3 of the format, and this visiongraft reads 1 to 2\. Go on with the"
    ):
        go_on(folder, data)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"model": "botnet_pico"}, "it trains coatnet_pico, not botnet_pico"),
        ({"recipe": replace(RICH, lr=0.1, batch_size=8)}, "its --batch-size is 16, not 8; its --lr is 0.002, not 0.1"),
        ({"recipe": replace(RICH, epochs=9)}, "its --epochs is 3, not 9"),
    ],
)
def test_a_run_goes_on_with_the_same_network_and_recipe_alone(
    tmp_path: Path, through: Outcome, change: dict, text: str
) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = RunFolder(Path(shutil.copytree(through.run.path, tmp_path / "copy")))
    before = {path: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises(RunError) as refusal:
        go_on(folder, data, **change)
    assert str(refusal.value) == (
        f"The run in {folder.path} cannot go on: {text}. Only --device, --devices, --strategy, --compile,"
        " --cache, --workers, --save-minutes and --max-unreadable may change. Put the rest back, or begin"
        " a new run with another --output."
    )
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"device": "cuda"}, "on --device cpu and goes on with cuda"),
        ({"strategy": "fsdp"}, "by --strategy ddp and goes on by fsdp"),
        ({"devices": 2, "strategy": "fsdp"}, "on 1 device and goes on with 2"),
        ({"steps": "compiled"}, "without --compile and goes on with it"),
    ],
)
def test_what_changes_the_last_bits_is_said(through: Outcome, change: dict, text: str) -> None:
    state, _ = read_state(through.run)
    (note,) = notes_on({**state.belongs, **change}, state.belongs, through.run)
    assert note == f"The run was {text}: its last bits will differ from those of a run that stayed."
    older = {name: value for name, value in state.belongs.items() if name not in ("device", "strategy", "steps")}
    assert notes_on(state.belongs, older, through.run) == []


def test_the_first_process_alone_looks_at_each_file_and_moves_none_before_all_have_read(
    tmp_path: Path, through: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def noted(place: object, name: str) -> None:
        usual = getattr(place, name)

        def work(*arguments, **more):
            told.append(f"begin {name}")
            found = usual(*arguments, **more)
            told.append(f"end {name}")
            return found

        monkeypatch.setattr(place, name, work)

    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = RunFolder(Path(shutil.copytree(through.run.path, tmp_path / "copy")))
    folder.last.write_bytes(folder.last.read_bytes()[:1000])
    for place, name in ((classification, "fingerprint"), (loop, "read_in_all"), (loop.Training, "_put_back"),
                        (Team, "led"), (Team, "gathered")):  # fmt: skip
        noted(place, name)
    go_on(folder, data)
    looked, read, moved = (told.index(f"begin {each}") for each in ("fingerprint", "read_in_all", "_put_back"))
    assert told[looked - 1] == told[moved - 1] == "begin led"
    assert "end gathered" in told[read:moved]


def test_a_run_folder_that_machines_do_not_share_is_told_by_all_processes(tmp_path: Path, through: Outcome) -> None:
    """Two processes, each with a folder of its own where the other one thinks that there is one."""
    other, empty = RunFolder(tmp_path / "other"), RunFolder(tmp_path / "empty")
    state, _ = read_state(through.run)
    other.path.mkdir()
    write_state(other, replace(state, progress=replace(state.progress, step=4)))
    share = (
        f"{through.run.path} has to be on a disk that all machines share: the first process finds a state of step 6"
    )
    for second, text in ((empty, f"{share} in it, and process 1 on {node()} none."),
                         (other, f"{share} in it, and process 1 on {node()} one of step 4."),
                         (through.run, "")):  # fmt: skip
        assert in_two(through.run, second) == [text, text.replace(str(through.run.path), str(second.path))]
    nothing = f"{empty.path} holds no state to go on from: last.ckpt is missing. Give the folder of a run."
    assert in_two(empty, through.run) == [nothing, nothing]


def in_two(*runs: RunFolder) -> list[str]:
    """Read a state in two processes, and give what each says; here they are threads."""
    things: list[object] = [None, None]
    met = Barrier(2, timeout=60)

    class Two(Team):
        def gathered(self, thing: object) -> list[object]:
            things[self.rank] = pickle.loads(pickle.dumps(thing))
            met.wait()
            return things

    def work(rank: int) -> str:
        try:
            state, note = read_in_all(runs[rank], Two(rank, 2))
        except RunError as error:
            return str(error)
        assert (state.progress.step, note) == (6, None)
        return ""

    with ThreadPoolExecutor() as pool:
        return list(pool.map(work, range(2)))


def test_data_that_changed_is_said(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "stripes")
    folder = plan_run(tmp_path / "run", name="")
    killed(folder, data, after=2)
    first, *_ = sorted((data / "train" / "lying").iterdir())
    first.unlink()
    with pytest.raises(RunError, match=r"cannot go on: its data had 32 images to learn from and has 31\. Only"):
        go_on(folder, data)


def test_data_whose_files_were_exchanged_for_others_of_their_sizes_are_told(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "stripes", end="bmp")
    folder = plan_run(tmp_path / "run", name="")
    killed(folder, data, after=2)
    for one, other in zip(*(sorted((data / "train" / name).iterdir()) for name in ("lying", "upright")), strict=True):
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)
    with pytest.raises(RunError, match="its data has files of the same names and sizes to learn from that hold s"):
        go_on(folder, data)


def test_kept_weights_that_are_damaged_are_told_before_the_run_goes_on(tmp_path: Path, through: Outcome) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = RunFolder(Path(shutil.copytree(through.run.path, tmp_path / "copy")))
    folder.best.write_bytes(folder.best.read_bytes()[:5000])
    before = {each.name: each.read_bytes() for each in folder.path.iterdir()}
    with pytest.raises(RunError, match=r"best\.safetensors is damaged, and the run cannot go on without it\. Put a"):
        go_on(folder, data)
    assert {each.name: each.read_bytes() for each in folder.path.iterdir()} == before


def test_a_full_disk_leaves_the_state_before_and_says_what_to_do(
    tmp_path: Path, through: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = plan_run(tmp_path / "run", name="")
    whole, calls = torch.save, []

    def failing(document: object, file: object) -> None:
        calls.append(1)
        if len(calls) == 4:
            file.write(b"half")  # type: ignore[attr-defined]
            raise OSError(28, "No space left on device")
        whole(document, file)

    monkeypatch.setattr(torch, "save", failing)
    with pytest.raises(RunError) as refusal:
        begin(folder, data)
    assert str(refusal.value) == (
        f"The state of the run cannot be written to {folder.last}: No space left on device. Make room there. The state"
        f" before it is whole: go on with `graft train --resume {folder.path}`."
    )
    monkeypatch.setattr(torch, "save", whole)
    assert read_state(folder)[0].progress.step == 2
    assert not list(folder.path.glob(".*"))
    assert same(ending(go_on(folder, data).run), ending(through.run))


@pytest.mark.parametrize("room", [0, 1000, 10_000, 100_000], ids="{}-bytes".format)
def test_a_disk_that_is_full_at_any_byte_leaves_the_state_before(tmp_path: Path, through: Outcome, room: int) -> None:
    folder = RunFolder(Path(shutil.copytree(through.run.path, tmp_path / "copy")))
    state, _ = read_state(folder)
    before = folder.last.read_bytes()
    assert len(before) > room
    usual, limit = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limit[1]))
    try:
        with pytest.raises(RunError, match=r"cannot be written to .*: File too large\. Make room there\. The"):
            write_state(folder, state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, usual)
    assert folder.last.read_bytes() == before
    assert not list(folder.path.glob(".*"))


def test_a_reading_process_that_dies_while_the_state_is_written_is_not_taken_for_a_full_disk(
    tmp_path: Path, through: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(Path(shutil.copytree(through.run.path, tmp_path / "copy")))
    state, _ = read_state(folder)

    def interrupted(*_: object) -> None:  # PyTorch raises this wherever the program happens to be
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        write_state(folder, state)
    assert read_state(folder)[0].progress.step == state.progress.step


def test_control_c_scores_the_run_and_leaves_no_trace_in_what_comes_of_going_on(
    tmp_path: Path, through: Outcome
) -> None:
    class Impatient(Killer):
        def step(self, done: int, steps: int, loss: float) -> None:
            if done == self.after:
                os.kill(os.getpid(), signal.SIGINT)

    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = plan_run(tmp_path / "run", name="")
    stopped = begin(folder, data, listener=Impatient(3))
    assert stopped.epochs == 2
    assert len(folder.metrics.read_text().splitlines()) == 3
    assert read(folder.best).scores["val_loss"] == stopped.evaluation.loss
    assert same(ending(go_on(folder, data).run), ending(through.run))
    assert not folder.set_aside.exists()


def test_where_a_run_goes_on_is_told_before_its_first_step(tmp_path: Path, through: Outcome) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = plan_run(tmp_path / "run", name="")
    first, second, third = Killer(3), Killer(5), Killer(0)
    for each in (first, second):
        with pytest.raises(Killed):
            begin(folder, data, listener=each, resume="allowed")
    folder.last.write_bytes(folder.last.read_bytes()[:1000])
    note = (
        f"{folder.last} is damaged (File is not a zip file): the run goes on from {folder.before}, which is of step 3."
    )
    assert go_on(folder, data, listener=third).notes == (note,)
    assert (first.heard, second.heard, third.heard) == ([], [(2, 6, ())], [(3, 6, (note,))])


def test_a_finished_run_says_so_and_not_that_its_bits_will_differ(tmp_path: Path, through: Outcome) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = RunFolder(Path(shutil.copytree(through.run.path, tmp_path / "copy")))
    listener = Killer(0)
    outcome = go_on(folder, data, listener=listener, hardware=replace(CPU, code="compiled"))
    assert (listener.heard, outcome.notes) == ([(6, 6, ())], ())


def test_other_classes_are_told_as_other_data_and_not_as_another_network(tmp_path: Path, through: Outcome) -> None:
    folder = RunFolder(Path(shutil.copytree(through.run.path, tmp_path / "copy")))
    images, labels = stripes(32)
    three = {"train_images": images, "train_labels": labels, "val_images": images, "val_labels": labels}
    np.savez(tmp_path / "three.npz", **three, classes=["upright", "lying", "askew"])
    with pytest.raises(RunError, match=r"cannot go on: its data had 2 classes"):
        go_on(folder, tmp_path / "three.npz")


def test_sigterm_saves_and_ends_at_once(tmp_path: Path, through: Outcome) -> None:
    class Scheduler(Killer):
        def step(self, done: int, steps: int, loss: float) -> None:
            if done == self.after:
                os.kill(os.getpid(), signal.SIGTERM)

    data = write_npz(tmp_path / "stripes.npz", train=32)
    folder = plan_run(tmp_path / "run", name="")
    with pytest.raises(RunError) as ended:
        begin(folder, data, save_minutes=60.0, listener=Scheduler(3))
    assert str(ended.value) == (
        "The run was told to end and has saved its state after step 3 of 6. Go on with"
        f" `graft train --resume {folder.path}`."
    )
    assert same(ending(go_on(folder, data).run), ending(through.run))


def test_parts_of_a_batch_move_the_weights_as_far_as_the_whole_where_nothing_looks_across_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alone(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
        return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)

    monkeypatch.setattr(nn.BatchNorm2d, "forward", alone)
    data = write_npz(tmp_path / "stripes.npz", train=32)
    # Neither gradients that are clipped nor Adam's would show that they were too long.
    recipe = replace(QUICK, epochs=2, opt="sgd", lr=0.05, clip_grad=0.0)
    ends = []
    for parts in (1, 4):
        folder = plan_run(tmp_path / str(parts), name="")
        begin(folder, data, replace(recipe, grad_accum_steps=parts))
        ends.append(read_state(folder)[0].tensors["network"])
    for name, each in ends[0].items():
        torch.testing.assert_close(ends[1][name], each, rtol=1e-4, atol=1e-5, msg=name)


def test_processes_that_are_killed_at_random_moments_end_as_if_nobody_had_killed_them() -> None:
    words = [sys.executable, "-m", "scripts.soak", "2"]  # `make soak` kills a hundred, in all kinds of runs
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout.endswith("2 of 2 ended as if nobody had killed them\n"), done


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with listening() as stop:
            os.kill(os.getpid(), signal.SIGINT)
        assert not stop.asked
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
