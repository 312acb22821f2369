"""Who has started the processes of a training, and how many they are. Nothing but the environment is asked."""

import os
from dataclasses import dataclass
from typing import Literal

from visiongraft.errors import GraftError

Launcher = Literal["ourselves", "torchrun", "SLURM"]
"""Who starts the processes; ourselves where nobody else has."""

_RANKS = {"ourselves": "LOCAL_RANK", "torchrun": "RANK", "SLURM": "SLURM_PROCID"}
"""Where each of them says which process this is."""

_LOCAL_RANKS = {"ourselves": "LOCAL_RANK", "torchrun": "LOCAL_RANK", "SLURM": "SLURM_LOCALID"}
"""Where each of them says which of its machine's processes this is."""


@dataclass(frozen=True)
class Crew:
    """How many processes train together.

    Args:
        here: on this machine.
        machines: how many machines there are.
        launcher: who starts them.
    """

    here: int = 1
    machines: int = 1
    launcher: Launcher = "ourselves"

    @property
    def size(self) -> int:
        """How many they are in all."""
        return self.here * self.machines


def check_alone(what: str) -> None:
    """Refuse several processes for what takes one.

    Raises:
        GraftError: if torchrun or SLURM has started more, or SLURM's job has several tasks.
    """
    if launcher() == "torchrun":
        started, remedy = int(os.environ["WORLD_SIZE"]), "and torchrun has started {}. Start it without torchrun."
    else:
        started, remedy = _slurm_tasks(), "and SLURM has {} tasks. Start it by `srun --ntasks 1`."
    if started > 1:
        raise GraftError(f"`{what}` works in one process, {remedy.format(started)}")


def find_crew(devices: int) -> Crew:
    """Count the processes: those that torchrun or SLURM has started, or else as many as there are to be devices.

    Raises:
        GraftError: if the user asks for another number than was started, or SLURM was not asked to start any.
    """
    told, by = os.environ, launcher()
    if by == "ourselves":
        if devices == 1 and _slurm_tasks() > 1:
            raise GraftError(
                f"The job has {told['SLURM_NTASKS']} tasks, and srun has not started this process as one of them. Put"
                " srun before the command, or give --devices N to let one process start the others of its machine."
            )
        return Crew(devices)
    if by == "SLURM" and "SLURM_NTASKS_PER_NODE" not in told:
        raise GraftError(
            f"SLURM has started {told['SLURM_NTASKS']} processes, and does not say how many on each machine. Give srun"
            " or sbatch --ntasks-per-node in place of --ntasks."
        )
    if by == "torchrun":
        here, all_of_them = int(told["LOCAL_WORLD_SIZE"]), int(told["WORLD_SIZE"])
    else:
        all_of_them = _slurm_tasks()
        here = all_of_them // int(told.get("SLURM_NNODES", "1"))
    if devices not in (1, here):
        raise GraftError(
            f"--devices {devices} came, and {by} has started {here} processes on this machine. Leave it out."
        )
    return Crew(here, all_of_them // here, by)


def launcher() -> Launcher:
    """Tell who has started this process, as far as it is one of several."""
    if "LOCAL_WORLD_SIZE" in os.environ:
        return "torchrun"
    # A batch script knows the tasks of its job as well; srun, which starts them, numbers its step.
    return "SLURM" if _slurm_tasks() > 1 and "SLURM_STEP_ID" in os.environ else "ourselves"


def _slurm_tasks() -> int:
    """Count the tasks of SLURM's step, or of its job outside of steps; one where a person works at a shell in it."""
    told = os.environ
    if "SLURM_STEP_ID" in told:  # in which the job's name is that of the shell before it, and says nothing
        at_a_shell = told.get("SLURM_STEP_NUM_TASKS") == "1"  # salloc's own step, which knows the tasks of the job
    else:
        at_a_shell = told.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return 1 if at_a_shell else int(told.get("SLURM_NTASKS", "1"))


def rank() -> int:
    """Give the number of this process among those that train together, from 0."""
    return int(os.environ.get(_RANKS[launcher()], "0"))


def leads_here() -> bool:
    """Tell whether this is the first process of its machine."""
    return os.environ.get(_LOCAL_RANKS[launcher()], "0") == "0"


def leads() -> bool:
    """Tell whether this is the process that writes files and talks, or the only one."""
    return rank() == 0


def is_a_restart() -> bool:
    """Tell whether torchrun or SLURM has started this process again, after one of the processes had ended."""
    return any(os.environ.get(name, "0") != "0" for name in ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"))


def may_be_restarted() -> bool:
    """Tell whether this is a restart, or torchrun would make one; SLURM never says beforehand."""
    return is_a_restart() or os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0"
