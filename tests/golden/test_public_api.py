"""What users import stays as it is, or changes on purpose."""

import visiongraft
from tests.golden.make_public_api import FILE, describe


def test_the_public_names_and_their_arguments_are_those_of_the_snapshot() -> None:
    assert describe() == FILE.read_text(), (
        "The public API has changed. If that is meant, say so in CHANGELOG.md and renew the snapshot with"
        " `python -m tests.golden.make_public_api`."
    )


def test_every_public_name_says_what_it_is() -> None:
    assert sorted(set(visiongraft.__all__)) == visiongraft.__all__
    assert [name for name in visiongraft.__all__ if not (getattr(visiongraft, name).__doc__ or "").strip()] == []
