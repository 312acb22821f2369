"""Progress on the terminal: on standard error, so that results on standard output stay clean."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def counting(total: int, done: str) -> Iterator[Callable[[int], None]]:
    """Show a bar that is advanced by what is called with the number of images done; nothing where nobody watches."""
    with progress_bar() as bar:
        task = bar.add_task(done, total=total)
        yield lambda count: bar.advance(task, count)


def progress_bar() -> Progress:
    """Make a progress bar that vanishes at the end."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
