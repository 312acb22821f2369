"""How tests run the command."""

import json

import pytest

from visiongraft.cli.main import main


def answer(capsys: pytest.CaptureFixture, *words: object) -> object:
    """Give what a command prints with --json."""
    assert main([str(word) for word in (*words, "--json")]) == 0
    return json.loads(capsys.readouterr().out)


def complaint(capsys: pytest.CaptureFixture, *words: object) -> str:
    """Give the one line of a command that is refused, and see that it printed nothing else."""
    assert main([str(word) for word in words]) == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err.count("\n") == 1, caught.err
    return caught.err
