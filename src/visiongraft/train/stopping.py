"""Ends a training in good order when somebody asks for it."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
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
def listening(*, patience: float = 5.0) -> Iterator[Stop]:
    """Let the first Ctrl-C only be noted, and the second one end the process at once; note SIGTERM too.

    A SIGTERM that comes more than `patience` seconds after the first ends the process at once, even where that waits
    for another process that will never answer. One that comes sooner is the same wish: torchrun passes on what a
    scheduler has sent to all processes.
    """
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
        with _losing_patience(patience):
            yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _losing_patience(patience: float) -> Iterator[None]:
    """Watch for signals beside the main thread: while that waits in C, Python calls none of its handlers."""
    ear, mouth = socket.socketpair()
    mouth.settimeout(0.0)
    former = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)

    def watch() -> None:
        first: float | None = None
        while heard := ear.recv(1)[0]:
            if heard != signal.SIGTERM:
                continue
            first = monotonic() if first is None else first
            if monotonic() - first > patience:
                os._exit(128 + signal.SIGTERM)  # nobody could answer an exception

    watcher = threading.Thread(target=watch, name="signals", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(former)
        mouth.send(bytes(1))  # no signal: to close it would tell nothing while children hold it open
        watcher.join()
        mouth.close()
        ear.close()
