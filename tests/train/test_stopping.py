"""Signals end a training in good order, and in the end they do end it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from visiongraft.train.stopping import listening

DEAF = """
import ctypes, time
from visiongraft.train.stopping import listening
with listening(patience={patience}):
    print("listening", flush=True)
    libc, lock = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(lock)
    libc.pthread_mutex_lock(lock)  # waits for ever, as for a process that will not answer
"""


@pytest.fixture
def deaf(request: pytest.FixtureRequest):
    """A process whose main thread waits in C for something that never comes."""
    words = [sys.executable, "-c", DEAF.format(patience=request.param)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "listening\n"
    time.sleep(0.3)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("deaf", [0.2], indirect=True)
def test_a_second_sigterm_ends_a_process_that_waits_for_ever(deaf: subprocess.Popen) -> None:
    deaf.terminate()
    time.sleep(0.5)
    assert deaf.poll() is None
    deaf.terminate()
    assert deaf.wait(timeout=60) == 128 + signal.SIGTERM


@pytest.mark.parametrize("deaf", [60], indirect=True)
def test_a_sigterm_that_comes_twice_at_once_is_one(deaf: subprocess.Popen) -> None:
    for _ in range(3):
        deaf.terminate()
        time.sleep(0.2)
    assert deaf.poll() is None


def test_whoever_listens_leaves_the_signals_as_they_were() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with listening() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.asked, stop.ordered) == (False, True)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    descriptor = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(descriptor)
    assert descriptor == -1
