"""The learning rate of a step: a function of the course and of the step, and of nothing that was before it."""

import math

from torch.optim import Optimizer

from visiongraft.train.course import Course

ONE_CYCLE = ((0.0, 0.0), (0.4, 1.0), (0.8, 0.05), (1.0, 0.0))
"""Shares of the run, and of the highest rate at them: ConvMixer's "one cycle" is a line between each two of these.

As in its authors' programs a step has the rate of its end: the first one is above 0, and the last one is 0.
"""

LATE_STEPS = (2 / 3, 8 / 9)
"""Shares of the run at which the rate of a detector falls: 60,000 and 80,000 of Detectron's 90,000 steps."""


def rate_at(course: Course, step: int, *, steps: int) -> float:
    """Give the learning rate of a step.

    Args:
        course: how to train.
        step: from 0.
        steps: of the whole run.
    """
    if course.sched == "onecycle":
        return course.min_lr + (course.lr - course.min_lr) * _one_cycle((step + 1) / steps)
    warmup = min(round(course.warmup_epochs * steps / course.epochs), steps - 1)
    if step < warmup:
        return course.warmup_lr + (course.lr - course.warmup_lr) * rise(step, warmup=warmup)
    if course.sched == "step":
        falls = math.floor(step * course.epochs / steps / course.decay_epochs + _ROUNDING)
        return max(course.lr * course.decay_rate**falls, course.min_lr)
    if course.sched == "late_steps":
        falls = sum(step >= share * steps - _ROUNDING for share in LATE_STEPS)
        return max(course.lr * course.decay_rate**falls, course.min_lr)
    progress = min((step - warmup) / max(steps - warmup, 1), 1.0)
    share = 1.0 - progress if course.sched == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))
    return course.min_lr + (course.lr - course.min_lr) * share


_ROUNDING = 1e-9  # a step that begins an epoch is in it


def rise(step: int, *, warmup: int) -> float:
    """Give the share of the warm-up at one of its steps: the first is above 0, and the last just below 1."""
    return (step + 1) / (warmup + 1)


def _one_cycle(share: float) -> float:
    """Give the share of the highest rate at a share of the run, in [0, 1]."""
    for (begin, low), (end, high) in zip(ONE_CYCLE, ONE_CYCLE[1:], strict=False):
        if share <= end:
            return low + (high - low) * (share - begin) / (end - begin)
    return 0.0


def set_rate(optimizer: Optimizer, course: Course, step: int, *, steps: int) -> float:
    """Give every group of an optimiser the learning rate of a step, counted from 0, and return it.

    A group that learns more slowly than the rest says by which factor as "lr_scale".
    """
    rate = rate_at(course, step, steps=steps)
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
    return rate
