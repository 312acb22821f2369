"""Ends a training in good order when somebody asks for it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """What has been asked for so far.

    Args:
        asked: by Ctrl-C: end after the present step, and score what was learnt.
        ordered: by the system, as a scheduler does before it kills: save at once, and leave.
    """

    asked: bool = False
    ordered: bool = False


@contextmanager
def listening() -> Iterator[Stop]:
    """Let the first Ctrl-C only be noted, and the second one end the process at once; note SIGTERM too."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals
        return

    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.asked = True
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    def order(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.ordered = True

    wishes = {signal.SIGINT: ask, signal.SIGTERM: order}
    # What is ignored stays so: whoever started this, as a shell does in the background, wants it.
    before = {
        number: signal.signal(number, handler)
        for number, handler in wishes.items()
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
