"""Who has started the processes of a training is read from the environment, and what cannot work is refused."""

import os
import platform
from pathlib import Path

import pytest
import torch

from tests.cli.running import complaint
from visiongraft.cli import main as cli
from visiongraft.errors import GraftError
from visiongraft.train import fabric
from visiongraft.train.crew import Crew, find_crew, leads, rank
from visiongraft.train.devices import Hardware, find_device

SRUN = {"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "4", "SLURM_STEP_ID": "0"}
TORCHRUN = {"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6"}


@pytest.fixture(autouse=True)
def nobody_started_us(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        each
        for each in os.environ
        if each.startswith(("SLURM_", "TORCHELASTIC_")) or "RANK" in each or "WORLD" in each
    ]:
        monkeypatch.delenv(name)


def told(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_processes_are_counted_as_whoever_started_them_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_crew(3) == Crew(3, 1, "ourselves")
    told(monkeypatch, **SRUN)
    assert find_crew(1) == find_crew(4) == Crew(4, 2, "SLURM")
    told(monkeypatch, **TORCHRUN)
    assert find_crew(1) == Crew(2, 3, "torchrun")
    assert find_crew(1).size == 6
    with pytest.raises(GraftError) as refusal:
        find_crew(4)
    assert str(refusal.value) == (
        "--devices 4 came, and torchrun has started 2 processes on this machine. Leave it out."
    )


def test_a_batch_script_that_forgot_srun_is_told_and_does_not_wait_for_processes_that_never_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told(monkeypatch, SLURM_NTASKS="8", SLURM_NTASKS_PER_NODE="8", SLURM_PROCID="0", SLURM_JOB_NAME="train.sh")
    with pytest.raises(GraftError) as refusal:
        find_crew(1)
    assert str(refusal.value) == (
        "The job has 8 tasks, and srun has not started this process as one of them. Put srun before the command, or"
        " give --devices N to let one process start the others of its machine."
    )
    assert find_crew(8) == Crew(8, 1, "ourselves")
    told(monkeypatch, SLURM_JOB_NAME="interactive")
    assert find_crew(1) == Crew(1, 1, "ourselves")


def test_srun_in_a_shell_of_salloc_starts_one_training_and_that_shell_by_itself_one_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # salloc --nodes 2 --ntasks-per-node 4 --job-name train: its shell is a step of one task, and knows of eight
    shell = {"SLURM_STEP_ID": "4294967290", "SLURM_STEP_NUM_TASKS": "1", "SLURM_JOB_NAME": "train"}
    told(monkeypatch, **SRUN | shell, SLURM_PROCID="0")
    assert find_crew(1) == Crew(1, 1, "ourselves")
    assert find_crew(4) == Crew(4, 1, "ourselves")
    for name in (
        "interactive",
        "bash",
        "train",
    ):  # srun there: a step numbers its tasks, and takes the job's name over
        told(monkeypatch, **SRUN, SLURM_STEP_NUM_TASKS="8", SLURM_JOB_NAME=name, SLURM_PROCID="5")
        assert find_crew(1) == Crew(4, 2, "SLURM")
        assert rank() == 5


def test_lightning_does_not_ask_for_srun_where_srun_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "srun").touch(0o755)
    told(monkeypatch, **SRUN, SLURM_STEP_NUM_TASKS="8", SLURM_JOB_NAME="interactive", PATH=str(tmp_path))
    with fabric.quiet():
        fabric._CLUSTERS["SLURM"]()  # warnings are errors here


def test_tasks_that_slurm_does_not_count_by_machine_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch, SLURM_NTASKS="8", SLURM_STEP_ID="0")
    with pytest.raises(
        GraftError, match=r"SLURM has started 8 processes, .* Give srun or sbatch --ntasks-per-node in"
    ):
        find_crew(1)


def test_one_process_leads_whoever_started_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert leads()
    told(monkeypatch, SLURM_NTASKS="1", SLURM_STEP_ID="0", SLURM_PROCID="0", LOCAL_RANK="3")
    assert rank() == 3  # started by --devices 4 in a task of SLURM, of which each of the four inherits the number
    told(monkeypatch, **SRUN, SLURM_PROCID="5")
    assert rank() == 5
    told(monkeypatch, **TORCHRUN, RANK="4", LOCAL_RANK="0")
    assert rank() == 4
    assert not leads()


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({}, "graft: no\n"),
        (
            {"LOCAL_RANK": "1", "WORLD_SIZE": "2"},
            "graft, process 1: no\n",
        ),  # its parent has started, so nobody else says it
        ({**SRUN, "SLURM_PROCID": "0"}, "graft: no\n"),
        ({**SRUN, "SLURM_PROCID": "5", "SLURM_LOCALID": "1"}, ""),
        ({**SRUN, "SLURM_PROCID": "4", "SLURM_LOCALID": "0"}, "graft, process 4 on node-b: no\n"),
        ({**TORCHRUN, "RANK": "1", "LOCAL_RANK": "1"}, ""),
        ({**TORCHRUN, "RANK": "2", "LOCAL_RANK": "0"}, "graft, process 2 on node-b: no\n"),
    ],
    ids=[
        "alone",
        "a child of --devices",
        "srun's first",
        "another of srun's",
        "srun's first of another machine",
        "another of torchrun's",
        "torchrun's first of another machine",
    ],
)
def test_what_is_wrong_is_said_once_and_always(
    variables: dict[str, str], text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    told(monkeypatch, **variables)
    monkeypatch.setattr(platform, "node", lambda: "node-b")
    monkeypatch.setattr(cli, "_dispatch", complaining(GraftError("no")))
    assert cli.main(["train"]) == 2
    assert capsys.readouterr().err == text


def test_a_process_that_finds_no_memory_says_so_whichever_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    told(monkeypatch, **TORCHRUN, RANK="3", LOCAL_RANK="1")
    monkeypatch.setattr(platform, "node", lambda: "node-b")
    monkeypatch.setattr(cli, "_dispatch", complaining(MemoryError()))
    assert cli.main(["train"]) == 2
    assert capsys.readouterr().err.startswith("graft, process 3 on node-b: The memory does not suffice.")


def complaining(error: Exception):
    def dispatch(_: object) -> int:
        raise error

    return dispatch


def test_a_process_that_lost_another_says_what_the_library_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(
        cli, "_dispatch", complaining(RuntimeError("[tcp.cc:99] Connection closed by peer [::1].\nmore"))
    )
    with pytest.raises(RuntimeError, match="Connection closed"):
        cli.main(["train"])  # it works alone: no other process has ended
    monkeypatch.setattr(cli, "_work_together", lambda: True)
    assert cli.main(["train"]) == 2
    assert capsys.readouterr().err == (
        "graft: Another process of this training ended, and this one cannot go on alone; if the other left a"
        " message, that says why."
        " Go on with `graft train --resume RUN`. ([tcp.cc:99] Connection closed by peer [::1].)\n"
    )
    assert cli.main(["detect", "train", "--resume", "runs/a"]) == 2
    assert " Go on with `graft detect train --resume runs/a`. " in capsys.readouterr().err


def test_two_processes_on_one_gpu_are_not_taken_for_one_that_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "NCCL error in: nccl.cpp:9, invalid usage\nncclInvalidUsage: This\nLast error:\nDuplicate GPU detected"
    monkeypatch.setattr(cli, "_dispatch", complaining(RuntimeError(text)))
    monkeypatch.setattr(cli, "_work_together", lambda: True)
    with pytest.raises(RuntimeError, match="Duplicate GPU detected"):
        cli.main(["train"])


def test_more_processes_than_gpus_are_refused_before_any_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert Hardware(torch.device("cuda"), 2).crew() == Crew(2)
    with pytest.raises(GraftError) as refusal:
        Hardware(torch.device("cuda"), 8).crew()
    assert str(refusal.value) == (
        "--devices 8 came, and PyTorch finds 2 GPUs here. Use as many processes as GPUs, and let each process see all"
        " of them."
    )
    told(monkeypatch, **SRUN)
    with pytest.raises(GraftError, match=r"^SLURM has started 4 processes on this machine, and PyTorch finds 2 GPUs"):
        Hardware(torch.device("cuda")).crew()


@pytest.mark.parametrize(
    "machines", [TORCHRUN | {"LOCAL_WORLD_SIZE": "1", "WORLD_SIZE": "2"}, SRUN | {"SLURM_NTASKS": "2"}]
)
def test_one_gpu_by_its_number_is_refused_for_processes_of_several_machines(
    machines: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    told(monkeypatch, **machines)
    with pytest.raises(GraftError) as refusal:
        Hardware(torch.device("cuda:1")).crew()
    assert str(refusal.value).endswith(
        " has started 2 processes on 2 machines, and --device cuda:1 is one device. Give --device cuda, which takes"
        " the first ones."
    )
    assert Hardware(torch.device("cuda")).crew().size == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "cuda:1",
            "--devices 2 came, and --device cuda:1 is one device. Give --device cuda, which takes the first ones.",
        ),
        ("mps", "--devices 2 came, and --device mps is one device. Use one, or --device cpu."),
    ],
)
def test_several_processes_on_one_device_are_refused(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(GraftError) as refusal:
        Hardware(torch.device(name), 2).crew()
    assert str(refusal.value) == text


def test_to_find_a_gpu_takes_no_memory_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device("cuda:1") == torch.device("cuda:1")  # PyTorch here may have no CUDA: nothing was computed
    assert not torch.cuda.is_initialized()
    with pytest.raises(GraftError, match="There is no device 'cuda:2' here. PyTorch finds cpu, cuda:0, cuda:1"):
        find_device("cuda:2")


AGAIN = "graft: A run that torchrun (--max-restarts) or SLURM starts again has to know its folder. Give --output.\n"


@pytest.mark.parametrize(
    "variable", ["SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_MAX_RESTARTS"]
)
def test_a_run_that_is_or_may_be_started_again_has_to_know_its_folder_and_resume_names_it(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    told(monkeypatch, **{variable: "1"})
    assert complaint(capsys, "train", "--data", tmp_path / "none") == AGAIN
    for words in (["--resume", tmp_path], ["--output", tmp_path / "run"]):
        (tmp_path / "config.yaml").write_text("data: none\n")
        assert "none" in complaint(capsys, "train", "--data", tmp_path / "none", *words)


def test_a_first_start_by_torchrun_that_starts_nothing_again_needs_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    told(monkeypatch, TORCHELASTIC_MAX_RESTARTS="0", TORCHELASTIC_RESTART_COUNT="0")
    monkeypatch.chdir(tmp_path)
    assert complaint(capsys, "train", "--data", tmp_path / "none") != AGAIN


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        (TORCHRUN, "and torchrun has started 6. Start it without torchrun."),
        (SRUN, "and SLURM has 8 tasks. Start it by `srun --ntasks 1`."),
        ({"SLURM_NTASKS": "8"}, "and SLURM has 8 tasks. Start it by `srun --ntasks 1`."),
    ],
    ids=["torchrun", "srun", "a batch script"],
)
def test_a_comparison_refuses_several_processes_before_it_writes(
    variables: dict[str, str],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    told(monkeypatch, **variables)
    words = ["compare", "--data", tmp_path / "none", "--output", tmp_path / "found"]
    assert complaint(capsys, *words) == f"graft: `graft compare` works in one process, {text}\n"
    assert not list(tmp_path.iterdir())
    told(monkeypatch, LOCAL_WORLD_SIZE="1", WORLD_SIZE="1", SLURM_NTASKS="1")
    assert "works in one process" not in complaint(capsys, *words)
