"""A case, raced: equality first, then times in turn, then memory and the time of the first answer."""

import gc
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from visiongraft.bench.case import Case, action, precise
from visiongraft.bench.contenders import OURS, Contender, Peer, contenders
from visiongraft.families.zoo import get_spec
from visiongraft.summary import summarize
from visiongraft.turns import PATIENCE, take_turns

TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}
"""How far logits may be apart, as a share of the largest: networks that differ are not compared."""


@dataclass(frozen=True)
class Result:
    """What one contender of one case gave.

    Args:
        case: what was asked.
        contender: whom.
        difference: of its logits to ours, as a share of our largest.
        seconds: for one image: the median over the rounds.
        times: its seconds over ours, round by round: quartiles. Above 1, ours is faster.
        dense_share: multiply-adds a second, as a share of what a dense convolution reaches here, in turn with it.
        rounds: how often each had its turn.
        peak_mib: memory that its process took beyond what it had before the first call; None if nobody asked.
        first_seconds: from the network in memory to its first answer, compiling included; or None.
        failure: why it was not timed; empty if it was.
    """

    case: Case
    contender: str
    difference: float | None = None
    seconds: float | None = None
    times: tuple[float, float, float] | None = None
    dense_share: float | None = None
    rounds: int = 0
    peak_mib: float | None = None
    first_seconds: float | None = None
    failure: str = ""


def race(
    case: Case, peers: Sequence[Peer], *, device: torch.device, patience: float = PATIENCE, alone: bool = False
) -> list[Result]:
    """Race ours and its peers on one case.

    Args:
        case: what is asked.
        peers: who is beside ours.
        device: where they compute.
        patience: seconds after which no further round begins.
        alone: whether memory and first answers are measured too, each in a process of its own.

    A contender that cannot do what is asked, or whose logits differ from ours, is not timed, and its result says why.

    Raises:
        UnknownModel: if the zoo has none of that name.
        MissingExtra: if a library is not installed.
    """
    field = contenders(case, peers, device=device)
    spec = get_spec(case.model).at(case.image)
    failures: dict[str, str] = {}
    differences: dict[str, float] = {}
    ready: dict[str, Callable[[], Tensor]] = {}
    expected = _logits(field[0], case, spec.in_chans, device)
    for each in field:
        try:
            differences[each.name] = _distance(_logits(each, case, spec.in_chans, device), expected)
            if differences[each.name] > TOLERANCE[case.precision]:
                failures[each.name] = f"its logits differ from ours by {differences[each.name]:.1e}"
                continue
            call = action(each.network, case, each.images(case, spec.in_chans, device))
            call()  # what is made once
            ready[each.name] = call
        except Exception as error:  # whatever others' networks raise at a size that they do not take
            if each.name == OURS:
                raise
            said = str(error).strip().partition("\n")[0]
            failures[each.name] = f"{type(error).__name__}: {said}" if said else type(error).__name__
    dense, operations = _dense(case, device)
    turns = take_turns([*ready.values(), dense], device=device, patience=patience)
    macs = summarize(spec).macs * (3 if case.direction == "training" else 1)
    results = []
    for each in field:
        if each.name not in ready:
            results.append(Result(case, each.name, differences.get(each.name), failure=failures[each.name]))
            continue
        place = list(ready).index(each.name)
        share = 2 * macs * case.batch_size / operations / turns.ratios(place, to=len(ready))[1]
        seconds, times = turns.median(place) / case.batch_size, turns.ratios(place, to=0)
        results.append(Result(case, each.name, differences[each.name], seconds, times, share, turns.rounds))
    del field, ready
    gc.collect()
    return [with_memory(each, device) for each in results] if alone else results


def _logits(contender: Contender, case: Case, in_chans: int, device: torch.device) -> Tensor:
    with torch.inference_mode(), precise(case, device):
        return contender.network.eval()(contender.images(case, in_chans, device)).float()


def _distance(logits: Tensor, expected: Tensor) -> float:
    return float((logits - expected).abs().max() / expected.abs().max())


def _dense(case: Case, device: torch.device) -> tuple[Callable[[], Tensor], float]:
    """Give a convolution that this machine computes as fast as it computes anything, and its operations.

    It is 3x3, of 256 channels on 28x28 cells, in channels_last: as dense as work gets in these networks.
    """
    maps = torch.randn(8, 256, 28, 28, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(256, 256, 3, 3, device=device).contiguous(memory_format=torch.channels_last)
    if case.precision == "bfloat16":
        maps, weight = maps.bfloat16(), weight.bfloat16()

    def convolve() -> Tensor:
        with torch.inference_mode():
            return F.conv2d(maps, weight, padding=1)

    convolve()
    return convolve, 2.0 * 8 * 28 * 28 * 256 * 256 * 9


def with_memory(result: Result, device: torch.device) -> Result:
    """Add what a process of its own tells of a contender: the memory that it takes and how soon it answers."""
    if result.failure:
        return result
    question = json.dumps({"case": asdict(result.case), "contender": result.contender, "device": str(device)})
    program = [sys.executable, "-m", "visiongraft.bench.alone", question, str(torch.get_num_threads())]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    if done.returncode:
        return result
    told = json.loads(done.stdout.splitlines()[-1])
    return Result(**{**vars(result), "peak_mib": told["peak_mib"], "first_seconds": told["first_seconds"]})
