"""How the verbs that train tell what came of it, beside the score."""

from typing import Any

from visiongraft.errors import counted
from visiongraft.train.engine import Ended


def ended_as_json(outcome: Ended[Any, Any]) -> dict[str, object]:
    """Give how a training went, and where everything lies."""
    return {
        "epochs": outcome.epochs,
        "stopped": outcome.stopped,
        "train_seconds": outcome.seconds,
        "weights": str(outcome.run.best),
        "report": str(outcome.run.report),
        "notes": list(outcome.notes),
        "unreadable": [{"file": each.name, "error": each.reason} for each in outcome.unreadable],
    }


def show_ended(outcome: Ended[Any, Any], score: str) -> None:
    """Print the score, in words, and where everything lies."""
    print(f"{score} after {counted(outcome.epochs, 'epoch')} and {outcome.seconds:.0f} s")
    if outcome.stopped:
        print(f"stopped before its end: `{outcome.run.verb} --resume {outcome.run.path}` goes on")
    for note in outcome.notes:
        print(note)
    if outcome.unreadable:
        print(f"{counted(len(outcome.unreadable), 'image')} could not be read: {outcome.run.unreadable}")
    print(f"weights   {outcome.run.best}")
    print(f"report    {outcome.run.report}")


def check(outcome: Ended[Any, Any]) -> int:
    """Give the exit code: that of Ctrl-C where it ended the run."""
    return 130 if outcome.stopped else 0
