"""Who has started the processes of a training is read from the environment, and what cannot work is refused."""

import os

import pytest
import torch

from visiongraft.cli import main as cli
from visiongraft.errors import GraftError
from visiongraft.train.crew import Crew, find_crew, leads, rank
from visiongraft.train.devices import Hardware, find_device

SRUN = {"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "4", "SLURM_STEP_ID": "0"}
TORCHRUN = {"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6"}


@pytest.fixture(autouse=True)
def nobody_started_us(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("SLURM_") or "RANK" in each or "WORLD" in each]:
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
        ({**SRUN, "SLURM_PROCID": "5"}, ""),
        ({**TORCHRUN, "RANK": "1"}, ""),
    ],
    ids=["alone", "a child of --devices", "srun's first", "another of srun's", "another of torchrun's"],
)
def test_what_is_wrong_is_said_once_and_always(
    variables: dict[str, str], text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    told(monkeypatch, **variables)
    monkeypatch.setattr(cli, "_dispatch", complaining(GraftError("no")))
    assert cli.main(["train"]) == 2
    assert capsys.readouterr().err == text


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
        "graft: Another process of this training ended, and this one cannot go on alone; the other's message says why."
        " Go on with `graft train --resume RUN`. ([tcp.cc:99] Connection closed by peer [::1].)\n"
    )


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
