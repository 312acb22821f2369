"""Trains several times in the processes of one training, since to start these takes longer than the trainings.

    python -m tests.train.together '[["graft", "train", "--devices", "2"], ["copy", "runs/first", "runs/second"]]'

The first training starts the other processes, as `graft train` does: each of them is this program once more.
"""

import json
import shutil
import sys
from pathlib import Path

from torch import distributed

from visiongraft.cli.main import main
from visiongraft.train.crew import leads
from visiongraft.train.run import RunFolder


def graft(*words: str) -> None:
    """Do what the command does. All processes but the first end there, and here they do not."""
    try:
        code = main(words)
    except SystemExit as ended:
        code = ended.code
    if code:
        sys.exit(code)


def copy(run: str, other: str) -> None:
    """Copy the folder of a run as if its last state had never been written."""
    if leads():
        RunFolder(Path(shutil.copytree(run, other))).last.unlink()


def judge(data: str, answer: str) -> None:
    """Score a detector in all processes."""
    from tests.detect.judged import judge

    judge(data, answer)


if __name__ == "__main__":
    for verb, *words in json.loads(sys.argv[1]):
        {"graft": graft, "copy": copy, "judge": judge}[verb](*words)
        distributed.barrier()
