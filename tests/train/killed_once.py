"""`graft` under torchrun, in two processes, of which one is killed once, after a step whose state is not written yet.

    python -m tests.train.killed_once FOLDER OTHER, then as graft

torchrun starts both again, and then they live; the run in the other folder nobody kills. The processes are forked
here: so what they import is imported once.
"""

import os
import signal
import socket
import sys

from torch.distributed.launcher.api import elastic_launch
from torch.distributed.run import config_from_args, get_args_parser

from visiongraft.cli.main import main
from visiongraft.train import fabric
from visiongraft.train.loop import Training
from visiongraft.train.news import News

AFTER = 3
"""The step."""

TORCHRUN = "--master-port {port} --max-restarts 1 --nproc-per-node 2 graft"
"""What torchrun is told: nothing of how processes meet, so that they meet where those before them met."""


def kill() -> None:
    """End this process as nothing can prevent."""
    os.kill(os.getpid(), signal.SIGKILL)


def graft(fate: str, *words: str) -> int:
    """Do what the command does; the second process dies the first time, if that is its fate."""
    assert fabric, "imported before the processes part"
    if fate == "dies" and (os.environ["TORCHELASTIC_RESTART_COUNT"], os.environ["RANK"]) == ("0", "1"):
        end_step = Training._end_step

        def dying(self: Training, *rest: object) -> News:
            if self.ledger.progress.step == AFTER:
                kill()
            return end_step(self, *rest)

        Training._end_step = dying
    return main(words)


def free_port() -> int:
    """Find a port that nobody listens at."""
    with socket.socket() as listening:
        listening.bind(("localhost", 0))
        return listening.getsockname()[1]


def launched(fate: str, *words: str) -> None:
    """Do what torchrun does."""
    options = TORCHRUN.format(port=free_port()).split()
    config, _, _ = config_from_args(get_args_parser().parse_args(options))
    config.start_method = "fork"
    if any(elastic_launch(config, graft)(fate, *words).values()):
        sys.exit(1)


if __name__ == "__main__":
    killed, through, *words = sys.argv[1:]
    launched("dies", *words, "--output", killed)
    launched("lives", *words, "--output", through)
