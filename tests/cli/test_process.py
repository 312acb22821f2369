"""The command as a process: streams that are full or closed, and Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pictures import write_npz

GRAFT = [sys.executable, "-c", "import sys; from graft_command import main; sys.exit(main())"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_gets_one_line() -> None:
    commands = [["list"], ["list", "--json"], ["--help"], ["list", "--help"], ["list", "--print-config"]]
    program = (
        "import os, sys\nfrom visiongraft.cli.main import main\n"
        f"for words in {commands}:\n"
        "    os.dup2(os.open('/dev/full', os.O_WRONLY), 1)\n"
        "    assert main(words) == 2, words\n"
    )
    done = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, check=True)
    line = "graft: Standard output cannot be written: No space left on device. Make room there.\n"
    assert done.stderr == line * len(commands)


def test_a_reader_that_stops_early_is_no_error() -> None:
    with subprocess.Popen([*GRAFT, "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.close()
        assert (running.stderr.read(), running.wait()) == (b"", 0)


def test_names_that_the_terminal_cannot_show_are_escaped(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    words = ["predict", "图片.safetensors", "a.png"]
    done = subprocess.run([*GRAFT, *words], stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path)
    assert done.stderr.startswith(r"graft: \u56fe\u7247.safetensors cannot be read: No such file or directory.")
    assert done.returncode == 2


def test_an_interrupted_training_says_how_it_goes_on_and_is_no_success(tmp_path: Path) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=128, val=32)
    words = ["train", "--data", str(data), "--output", str(tmp_path / "run"), "--epochs", "1000"]
    running = subprocess.Popen([*GRAFT, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / "run" / "last.ckpt")
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=100)
    assert running.returncode == 130
    score, stopped, *_ = out.splitlines()
    assert score.startswith("val top-1 ")
    assert stopped == f"stopped before its end: `graft train --resume {tmp_path / 'run'}` goes on"
    assert "of 1000; stopped by Ctrl-C; weights kept from epoch" in (tmp_path / "run" / "report.html").read_text()


def test_a_second_interrupt_ends_training_at_once_and_without_a_traceback(tmp_path: Path) -> None:
    # The first one ends the first epoch after its present step, and to judge so many images then takes seconds.
    data = write_npz(tmp_path / "stripes.npz", train=512, val=8192)
    words = ["train", "--data", str(data), "--output", str(tmp_path / "run"), "--epochs", "1000"]
    running = subprocess.Popen([*GRAFT, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / "run" / "last.ckpt")  # the state before the first step
    running.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert err == "graft: stopped\n"
    assert out == ""


@pytest.mark.parametrize("seconds", [0.05, 0.3, 0.6, 1.0, 2.0])
def test_an_interrupt_at_any_moment_ends_the_command(seconds: float, tmp_path: Path) -> None:
    data = write_npz(tmp_path / "stripes.npz", train=512, val=8192)  # to judge so many takes longer than we wait
    program = "import sys; from graft_command import main; print(flush=True); sys.exit(main())"
    words = ["eval", str(tmp_path / "fifo"), "--data", str(data)]
    os.mkfifo(tmp_path / "fifo")  # a weight file that is waited for: the command is never done
    running = subprocess.Popen(
        [sys.executable, "-c", program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout.readline() == "\n"
    time.sleep(seconds)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out, err) == (130, "", "graft: stopped\n")


def test_where_an_interrupt_is_ignored_it_stays_so() -> None:
    program = (
        "import os, signal, sys; from graft_command import main\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "code = main()\n"
        "assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program, "list"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
