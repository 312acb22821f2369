"""Pages that need nothing beside themselves."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from visiongraft.errors import RunError, counted
from visiongraft.explain import words
from visiongraft.files import write_whole


def render(template: str, **content: object) -> str:
    """Fill a template of this package; what it shows of names is escaped."""
    environment = Environment(
        loader=PackageLoader("visiongraft.explain"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for each in (
        counted,
        words.percent,
        words.count,
        words.short_count,
        words.file_size,
        words.duration,
        words.size_of,
    ):
        environment.filters[each.__name__] = each
    return environment.get_template(template).render(content)


def write_page(path: Path, page: str, *, remedy: str) -> None:
    """Write a page, whole or not at all.

    Args:
        path: where.
        page: its text.
        remedy: what to do, or where else to look, if it cannot be written.

    Raises:
        RunError: if it cannot be written.
    """
    try:
        # A file name that is no text holds lone surrogates, which UTF-8 refuses: the page shows their numbers.
        write_whole(path, page.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error.strerror}. {remedy}") from error
