"""What a process that reads images beside the main one does first."""

import signal


def leave_interrupts_to_the_main_process(worker: int) -> None:
    """Ignore Ctrl-C, which reaches every process: the main one saves what was learnt, and then ends the others."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
