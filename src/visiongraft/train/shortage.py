"""A step that finds no memory: how many images it could have taken, and what to do."""

import gc
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from visiongraft.data.sampling import Share
from visiongraft.errors import RunError, counted, is_shortage
from visiongraft.train.course import Course
from visiongraft.train.task import P, Part


def largest_that_fits(
    loss: Callable[[P], Tensor],
    part: P,
    network: nn.Module,
    optimizer: Optimizer,
    device: torch.device,
    *,
    fewest: int,
) -> int:
    """Halve a part of a batch until its loss and the gradients of it fit into the memory.

    Nothing is learnt, and no gradient is kept: those that the step has collected are dropped first. Where the
    optimiser holds nothing yet, as in the first step, there has to be room for two numbers of each weight as well.

    Args:
        loss: what to find the gradients of.
        part: the one that was too large.
        network: whose parameters learn.
        optimizer: of these.
        device: where it all happens.
        fewest: images that can be learnt from.

    Returns:
        How many images fit at a time; 0 where not even the fewest do that can be learnt from.
    """
    optimizer.zero_grad()
    learning = [each for each in network.parameters() if each.requires_grad]
    number = part.readable // 2
    while number >= fewest:
        gc.collect()
        if device.type != "cpu":
            torch.accelerator.empty_cache()
        if _fits(loss, part.first(number), learning, room=0 if optimizer.state else 2, device=device):
            return number
        number //= 2
    return 0


def _fits(
    loss: Callable[[P], Tensor], part: P, learning: list[nn.Parameter], *, room: int, device: torch.device
) -> bool:
    try:
        reserved = [torch.empty_like(each) for _ in range(room) for each in learning]
        # Unlike `backward` this leaves nothing behind, and wakes nobody who waits for gradients, such as DDP.
        torch.autograd.grad(loss(part.to(device)), learning, allow_unused=True)
        del reserved
    except (RuntimeError, MemoryError) as error:
        if not is_shortage(error):
            raise
        return False
    return True


def too_large(
    part: Part,
    fits: int | None,
    *,
    number: int,
    course: Course,
    share: Share,
    device: torch.device,
    fewest: int,
    remedy: str,
) -> RunError:
    """Make the error that says how much was too much, and which options take less memory.

    Args:
        part: the one for which the memory did not suffice.
        fits: how many of its images fit; None where nobody tried.
        number: of the step, from 1.
        course: how the network is trained.
        share: how batches are cut into parts.
        device: whose memory it is.
        fewest: images that can be learnt from.
        remedy: options that take less memory for an image.
    """
    what = (
        f"In step {number}, {counted(part.readable, 'image')} of {part.size} at a time do not fit into the memory of"
        f" {device}"
    )
    if fits is None:
        return RunError(f"{what}. Use a smaller --batch-size or a greater --grad-accum-steps.")
    if not fits:
        return RunError(f"{what}, nor do {fewest}. Use a smaller {remedy}.")
    parts = _parts(fits, course.batch_size // share.devices, share.parts, fewest)
    more = f", or --grad-accum-steps {parts} for the same batches in more parts" if parts else ""
    return RunError(f"{what}, and {fits} do. Use --batch-size {fits * share.of}{more}.")


def _parts(fits: int, images: int, now: int, fewest: int) -> int | None:
    """Give the fewest equal parts that cut a device's images of a step into what fits; None where there are none."""
    counts = range(now + 1, images // fewest + 1)
    return next((each for each in counts if images % each == 0 and images // each <= fits), None)
