"""`graft bench`."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import torch

from visiongraft.bench.case import DIRECTIONS, MODES, PRECISIONS, Case
from visiongraft.bench.contenders import OURS, PEERS, QUICK, Peer
from visiongraft.bench.race import Result
from visiongraft.bench.suite import Suite, as_csv, means, row_of
from visiongraft.cli.values import check_writable, parse_image
from visiongraft.errors import GraftError, nearest, printable
from visiongraft.explain.machine import describe_machine
from visiongraft.files import write_whole
from visiongraft.train.devices import find_device

Word = TypeVar("Word")


@dataclass(frozen=True)
class Bench:
    """What was measured, and where the table went.

    Args:
        results: a contender of a case each.
        device: what computed.
        table: the file; None where nobody asked for one.
    """

    results: tuple[Result, ...]
    device: torch.device
    table: Path | None


def run(
    models: list[str],
    *,
    against: str | None = None,
    image: str | None = None,
    batch_size: str = "1,8",
    precision: str = "float32",
    mode: str = "eager",
    direction: str = "inference",
    patience: float = 15.0,
    memory: bool = False,
    device: str = "auto",
    output: Path | None = None,
) -> Bench:
    """Time networks beside the same networks of others, with the same weights, in turn and in one process.

    A machine's speed drifts, so what counts are ratios within a round, in which each network has its turn. That all
    give the same logits is seen to first; one that does not is not timed.

    Examples:
        graft bench coatnet_0_rw_224
        graft bench botnet26t_256 sebotnet33ts_256 --against timm --batch-size 8 --direction inference,training
        graft bench resnet50 cotnet50 --image 224,320 --precision float32,bfloat16 --memory --output bench.csv

    Args:
        models: names of `graft list`
        against: who is beside ours, of plain (our own reference), timm, timm-channels-last, timm-compiled,
            timm-onnxruntime and torchvision, with commas between them; who has no such network is left out; by default
            all that need no preparation, timm where it is installed
        image: sizes in pixels, as 224 or 256x128, with commas between them; by default each network's own
        batch_size: images at a time, several with commas between them
        precision: of the arithmetic, float32, bfloat16 or both with a comma
        mode: eager, folded (eager, but ours in its form for inference), compiled (by PyTorch for this very size) or
            exported (as a graph), with commas between them
        direction: inference, training (logits, loss, gradients and a step) or both with a comma
        patience: seconds after which no further round of a case begins; there are at least 5 and at most 31
        memory: measure the memory that each takes and how soon it first answers, too, in processes of their own
        device: auto, cpu, cuda, cuda:1 or mps
        output: a file for the table, as .csv
    """
    if patience <= 0:
        raise GraftError(f"--patience must be above 0, not {patience:g}.")
    suite = Suite(
        tuple(models),
        _several(",".join(_installed()) if against is None else against, "--against", PEERS),
        (None,) if image is None else _parsed(image, parse_image),
        _parsed(batch_size, _batch_size),
        _several(precision, "--precision", PRECISIONS),
        _several(mode, "--mode", MODES),
        _several(direction, "--direction", DIRECTIONS),
    )
    if not list(suite.cases()):  # what cannot be is refused before anything is timed
        raise GraftError("A folded network does not learn: --mode folded goes with --direction inference.")
    place = find_device(device)
    if output is not None:
        check_writable(output, "--output", kind="file")
    results = suite.run(device=place, patience=patience, alone=memory, tell=_tell)
    if output is not None:
        write_whole(output, as_csv(results).encode())
    return Bench(results, place, output)


def _installed() -> list[Peer]:
    """Give the peers whose library is there."""
    return [peer for peer in QUICK if not peer.startswith("timm") or find_spec("timm") is not None]


def _several(text: str, flag: str, known: Sequence[Word]) -> tuple[Word, ...]:
    """Take words apart that have commas between them.

    Raises:
        GraftError: if one is not known.
    """
    words = [each.strip() for each in text.split(",") if each.strip()]
    named = {str(each): each for each in known}
    for each in words:
        if each not in named:
            raise GraftError(f"{flag} takes {', '.join(named)}, and got {each!r}.{nearest(each, named)}")
    if not words:
        raise GraftError(f"{flag} takes {', '.join(named)}, and got none.")
    return tuple(dict.fromkeys(named[each] for each in words))


def _parsed(text: str, parse: Callable[[str], Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(parse(each.strip()) for each in text.split(",")))


def _batch_size(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise GraftError(f"--batch-size takes whole numbers above 0 with commas between them, and got {text!r}.")
    return int(text)


def _tell(case: Case, results: Sequence[Result]) -> None:
    """Print a case on standard error when it is raced."""
    print(f"{case.model}, {case.words}", file=sys.stderr)
    for each in results:
        print(f"  {_line(each)}", file=sys.stderr)


def _line(result: Result) -> str:
    if result.seconds is None or result.times is None:
        return f"{result.contender:20} not timed: {printable(result.failure)}"
    low, middle, high = result.times
    beside = "" if result.contender == OURS else f"  {middle:5.2f} ({low:.2f} to {high:.2f}) times ours"
    return f"{result.contender:20} {1000 * result.seconds:9.2f} ms/image  {result.dense_share:4.0%} of dense{beside}"


def as_json(found: Bench) -> dict[str, object]:
    """Give the table, the means and the machine."""
    machine = describe_machine(found.device)
    return {
        "rows": [row_of(each) for each in found.results],
        "means": [vars(each) for each in means(found.results)],
        "machine": {"device": machine.device, "system": machine.system, "versions": machine.versions},
        "date": machine.moment.isoformat(timespec="seconds"),
        "table": None if found.table is None else str(found.table),
    }


def show(found: Bench) -> None:
    """Print how much faster ours is, over all networks."""
    for each in means(found.results):
        networks = f"{each.models} network{'s' if each.models > 1 else ''}"
        print(f"{each.peer:20} takes {each.times:.2f} times as long as ours ({networks}; {each.way})")
    if found.table is not None:
        print(f"table     {found.table}")


def check(found: Bench) -> int:
    """Give the exit code: 1 where a peer's logits are not ours."""
    return 1 if any("logits differ" in each.failure for each in found.results) else 0
