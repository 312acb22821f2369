"""What the command `graft` starts: Ctrl-C is heard from here on, while PyTorch takes its seconds to be imported.

A module outside of the package, since to import anything of `visiongraft` is to import PyTorch.
"""

import os
import signal


def main() -> int:
    """Run the command, and end it at once if it is interrupted before its work begins."""
    heard = signal.getsignal(signal.SIGINT)
    if heard is signal.default_int_handler:  # otherwise somebody wants it ignored, as behind nohup
        signal.signal(signal.SIGINT, _stop)
    from visiongraft.cli.main import main as run

    return run(before_work=lambda: signal.signal(signal.SIGINT, heard))


def _stop(*_: object) -> None:
    """End the process. An exception would not do: imports of compiled modules may swallow it."""
    os.write(2, b"graft: stopped\n")
    os._exit(130)
