"""Entry point of `graft`."""

import io
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, TextIO

from visiongraft import __version__
from visiongraft.cli.verbs import VERBS, Verb
from visiongraft.errors import GraftError, is_shortage, nearest, printable
from visiongraft.train.crew import launcher, leads_here, rank

USAGE = "usage: graft VERB [OPTIONS]"

# What PyTorch's errors hold: where a process that reads images died or found no room in /dev/shm.
_LOST_WORKER = re.compile(r"DataLoader worker \(pid|shared memory|file </torch_")
_LOST_PEER = re.compile("Connection (closed|reset) by peer|Broken pipe|NCCL|Socket Timeout|Timed out waiting", re.I)
_MISUSE = re.compile("nccl(Invalid|Internal|UnhandledCuda)")  # NCCL's errors for which no process had to end


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words behind `graft`; by default those of this process.

    Returns:
        The exit code: 0 for success, 1 where a verb found what it looked for to be bad, 2 where the user has to mend
        something before it can work, 130 for Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name may hold what the terminal, or UTF-8, does not
            stream.reconfigure(errors="backslashreplace")
    try:
        return _dispatch(words)
    except GraftError as error:
        return _complain(str(error), 2)
    except BrokenPipeError:  # nobody reads the progress any more
        _discard(sys.stderr)
        return 1
    except OSError as error:  # the last net: what was foreseen is a GraftError
        path = "" if error.filename is None else f"{error.filename!r}: "
        return _complain(f"{path}{error.strerror or error}. Give another path, or make room there.", 2)
    except (MemoryError, RuntimeError) as error:
        shortage = _shortage(error, words)
        if shortage is None:
            raise
        return _complain(shortage, 2, wrong_in="this process")
    except KeyboardInterrupt:
        return _complain("stopped", 130)


def _shortage(error: MemoryError | RuntimeError, words: Sequence[str]) -> str | None:
    """Say what the machine has too little of, where that is what the error tells."""
    if isinstance(error, RuntimeError) and _LOST_WORKER.search(str(error)):
        return "A process that reads images died, as when memory or /dev/shm is full. Use --workers 0."
    if _work_together() and _LOST_PEER.search(str(error)) and not _MISUSE.search(str(error)):
        said = str(error).splitlines()[0].partition(". ")[0].rstrip(".")
        return (
            "Another process of this training ended, and this one cannot go on alone; if the other left a message,"
            f" that says why. Go on with `graft {_found(words)[0].name} --resume {_run_of(words)}`. ({said}.)"
        )
    if is_shortage(error):
        return "The memory does not suffice. Use a smaller --batch-size, --image or --model."
    return None


def _run_of(words: Sequence[str]) -> str:
    """Give the folder of the run that the words name, ready to be typed; RUN where they name none."""
    for word, behind in zip(words, [*words[1:], ""], strict=True):
        name, _, value = word.partition("=")
        if name in ("--resume", "--output"):
            return shlex.quote(value or behind)
    return "RUN"


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in {"-h", "--help", "help"}:
        with _arriving():
            print(_overview())
        return 0 if words else 2
    if words[0] in {"-V", "--version"}:
        with _arriving():
            print(f"visiongraft {__version__}")
        return 0
    group = [verb for verb in VERBS if verb.name.startswith(f"{words[0]} ")]
    if group and words[1:] in ([], ["-h"], ["--help"]):
        with _arriving():
            print(_overview(group))
        return 0 if words[1:] else 2
    verb, options = _found(words)
    from visiongraft.cli.options import parse

    chosen = None
    with _arriving():  # the help or the configuration, where those are asked for
        chosen = parse(verb, options)
    if chosen is None:
        return 0
    module = verb.load()
    result = module.run(**chosen.arguments)
    with _arriving():
        if chosen.as_json:
            print(json.dumps(module.as_json(result), ensure_ascii=not _is_utf8(sys.stdout), allow_nan=False))
        else:
            module.show(result)
    return (module.check(result) or 0) if hasattr(module, "check") else 0


@contextmanager
def _arriving() -> Iterator[None]:
    """See to it that what is printed has arrived at the end, as far as somebody reads it."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        _discard(sys.stdout)
    except OSError as error:
        _discard(sys.stdout)
        raise GraftError(f"Standard output cannot be written: {error.strerror or error}. Make room there.") from error


def _discard(stream: TextIO) -> None:
    """Send what is left in a stream nowhere: Python would try, and complain, once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_utf8(stream: TextIO | None) -> bool:
    encoding = getattr(stream, "encoding", None)  # an io.StringIO has none
    return encoding is not None and encoding.lower() == "utf-8"


def _complain(text: str, code: int, *, wrong_in: Literal["all", "this process"] = "all") -> int:
    from platform import node

    number, theirs = rank(), launcher() != "ourselves"
    # What is wrong before processes work together is wrong in all that torchrun or SLURM has started on a machine, and
    # the first one speaks for them; machines may differ. Processes that this command started are there because nothing
    # was wrong in the first one.
    if leads_here() or not theirs or _work_together() or wrong_in == "this process":
        machine = f" on {node()}" if theirs else ""
        who = f"graft, process {number}{machine}" if number else "graft"
        print(f"{who}: {printable(text)}", file=sys.stderr)
    return code


def _work_together() -> bool:
    """Tell whether this is one of several processes that have found one another."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()


def _found(words: Sequence[str]) -> tuple[Verb, list[str]]:
    """Give the verb, which has one word or two, and the words behind it."""
    verbs = {verb.name: verb for verb in VERBS}
    for length in (2, 1):
        if verb := verbs.get(" ".join(words[:length])):
            return verb, list(words[length:])
    group = [each for each in verbs if each.startswith(f"{words[0]} ")]
    name, known = (" ".join(words[:2]), group) if group else (words[0], list(verbs))
    raise GraftError(f"There is no verb {name!r}.{nearest(name, known)} The verbs are {', '.join(known)}.")


def _overview(verbs: Sequence[Verb] = VERBS) -> str:
    width = max(len(verb.name) for verb in verbs)
    lines = (f"  {verb.name:{width}}  {verb.purpose}" for verb in verbs)
    return "\n".join(
        [
            USAGE,
            "",
            "Vision networks that mix convolution and attention.",
            "",
            *lines,
            "",
            "`graft VERB --help` explains a verb. Every verb takes --json, and --config FILE.yaml for its options.",
        ]
    )
