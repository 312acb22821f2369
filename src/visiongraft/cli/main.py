"""Entry point of `graft`."""

import json
import os
import sys
from collections.abc import Sequence

from visiongraft import __version__
from visiongraft.cli.verbs import VERBS, Verb
from visiongraft.errors import GraftError, nearest

USAGE = "usage: graft VERB [OPTIONS]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give the exit code: 0 for success, 2 where the user has to mend something."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(words)
    except GraftError as error:
        print(f"graft: {_one_line(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        print(f"graft: {error.filename!r}: {error.strerror}. Give another path.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("graft: stopped", file=sys.stderr)
        return 130


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_overview())
        return 0 if words else 2
    if words[0] in {"-V", "--version"}:
        print(f"visiongraft {__version__}")
        return 0
    verb = _find(words[0])
    from visiongraft.cli.options import parse

    chosen = parse(verb, words[1:])
    if chosen is None:  # help or the configuration was printed
        return 0
    result = verb.function("run")(**chosen.arguments)
    if chosen.as_json:
        print(json.dumps(verb.function("as_json")(result), ensure_ascii=False, allow_nan=False))
    else:
        verb.function("show")(result)
    return 0


def _find(name: str) -> Verb:
    names = [verb.name for verb in VERBS]
    if name not in names:
        raise GraftError(f"There is no verb {name!r}.{nearest(name, names)} The verbs are {', '.join(names)}.")
    return VERBS[names.index(name)]


def _overview() -> str:
    width = max(len(verb.name) for verb in VERBS)
    lines = (f"  {verb.name:{width}}  {verb.purpose}" for verb in VERBS)
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


def _one_line(text: str) -> str:
    return " ".join(text.split())
