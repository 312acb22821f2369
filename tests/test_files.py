"""Files are there whole or not at all, whoever else writes beside them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from visiongraft.files import draft_of, write_whole


def test_threads_that_write_one_file_do_not_take_the_draft_from_one_another(tmp_path: Path) -> None:
    contents = [bytes([letter]) * 4000 for letter in range(3)]
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda index: write_whole(tmp_path / "m", contents[index % 3]), range(90)))
    assert (tmp_path / "m").read_bytes() in contents
    assert [each.name for each in tmp_path.iterdir()] == ["m"]


def test_a_draft_is_no_file_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visiongraft.files.token_hex", lambda _: "guessed")
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".m.guessed").symlink_to(tmp_path / "precious")
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "m", b"theirs")
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / ".m.guessed").is_symlink()


@pytest.mark.parametrize("name", ["m" * 255, "ß" * 127, "🐈" * 63])
def test_a_name_may_be_as_long_as_the_file_system_has_them(tmp_path: Path, name: str) -> None:
    write_whole(tmp_path / name, b"whole")
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_file_has_the_permissions_of_every_new_one_whatever_its_writer_makes(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with draft_of(tmp_path / "m") as draft:
        draft.unlink()
        draft.touch(0o600)
    assert (tmp_path / "m").stat().st_mode == (tmp_path / "other").stat().st_mode
