"""What the command `graft` starts: Ctrl-C is heard from here on, while PyTorch takes its seconds to be imported.

A module outside of the package, since to import anything of `visiongraft` is to import PyTorch.
"""

import os
import signal


def main() -> int:
    """Run the command; Ctrl-C ends it at once, unless it trains, which takes the first one as a wish to finish."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # otherwise somebody wants it ignored
        signal.signal(signal.SIGINT, _stop)
    from visiongraft.cli.main import main as run

    return run()


def _stop(*_: object) -> None:
    """End the process. An exception would not do: imports of compiled modules, and callbacks, may swallow it.

    Weights, pages and tables are written beside their place and then moved there, so none is left half-written.
    """
    show_cursor = b"\r\x1b[?25h\x1b[K" if os.isatty(2) else b""  # a progress bar hides it
    os.write(2, show_cursor + b"graft: stopped\n")
    os._exit(130)
