"""`graft` under torchrun, in a process that is killed once, after a step whose state is not written yet.

    python -m tests.train.killed_once, then as graft

torchrun starts it again, and then it lives. Its processes are forked here: so what they import is imported once.
"""

import os
import signal
import sys

from torch.distributed.launcher.api import elastic_launch
from torch.distributed.run import config_from_args, get_args_parser

from visiongraft.cli.main import main
from visiongraft.train import engine
from visiongraft.train.loop import Training

AFTER = 3
"""The step."""

TORCHRUN = "--rdzv-backend c10d --rdzv-endpoint localhost:0 --rdzv-id one --max-restarts 1 --nproc-per-node 1 graft"
"""What `torchrun --standalone` makes of its options."""


def kill() -> None:
    """End this process as nothing can prevent."""
    os.kill(os.getpid(), signal.SIGKILL)


def graft(*words: str) -> int:
    """Do what the command does, and die the first time."""
    assert engine, "imported before the processes part"
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        save = Training._save

        def dying(self: Training, *rest: object) -> None:
            if self.ledger.progress.step == AFTER:
                kill()
            save(self, *rest)

        Training._save = dying
    return main(words)


if __name__ == "__main__":
    config, _, _ = config_from_args(get_args_parser().parse_args(TORCHRUN.split()))
    config.start_method = "fork"
    codes = elastic_launch(config, graft)(*sys.argv[1:])
    sys.exit(codes[0])
