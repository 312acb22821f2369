"""`graft` in a process that is killed once, after a step whose state is not written yet: python -m, then as graft.

torchrun starts it again, and then it lives.
"""

import os
import signal
import sys

from visiongraft.cli.main import main
from visiongraft.train.loop import Training

AFTER = 3
"""The step."""


def kill() -> None:
    """End this process as nothing can prevent."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        save = Training._save

        def dying(self: Training, *rest: object) -> None:
            if self.ledger.progress.step == AFTER:
                kill()
            save(self, *rest)

        Training._save = dying
    sys.exit(main())
