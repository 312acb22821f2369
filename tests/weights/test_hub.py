"""Published files are fetched when asked for, checked, kept and found again without asking, or a line says why not."""

import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import huggingface_hub.constants
import huggingface_hub.utils.logging
import pytest

from tests.weights.fake_hub import FakeHub, put_into_cache, serving
from visiongraft.errors import WeightsError
from visiongraft.weights.hub import FILE, fetch
from visiongraft.weights.sources import get_weight_set

WEIGHTS = get_weight_set("coatnet_nano_rw_224")
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """Serve the file on this machine, which is the hub as far as the library knows."""
    with serving(FakeHub({WEIGHTS.repository: CONTENT})) as hub:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub
    huggingface_hub.close_session()


def half_written(folder: Path) -> list[Path]:
    """List the files of a cache that hold weights, or a part of them."""
    return [each for each in folder.rglob("*") if each.is_file() and ("blobs" in each.parts or each.is_symlink())]


def test_a_file_is_fetched_once_and_then_found_without_a_request(online: FakeHub, tmp_path: Path) -> None:
    path = fetch(WEIGHTS, folder=tmp_path)
    assert path.read_bytes() == CONTENT
    online.requests.clear()
    assert fetch(WEIGHTS, folder=tmp_path) == fetch(WEIGHTS, folder=tmp_path, offline=True) == path
    assert online.requests == []


def test_a_folder_in_the_hubs_layout_is_used_as_it_is(tmp_path: Path) -> None:
    blob = put_into_cache(tmp_path, WEIGHTS.repository, CONTENT)
    assert fetch(WEIGHTS, folder=str(tmp_path), offline=True).resolve() == blob


def test_a_copy_of_such_a_folder_without_its_links_is_taken_on_trust(tmp_path: Path) -> None:
    put_into_cache(tmp_path / "linked", WEIGHTS.repository, CONTENT)
    shutil.copytree(tmp_path / "linked", tmp_path / "plain", symlinks=False)
    path = fetch(WEIGHTS, folder=tmp_path / "plain", offline=True)
    assert not path.is_symlink()
    assert path.read_bytes() == CONTENT


def test_a_large_file_that_the_hub_keeps_elsewhere_is_followed_without_the_token(
    online: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    online.elsewhere = True
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_user")
    monkeypatch.setenv("HF_ENDPOINT", f"{online.url}/")
    assert fetch(WEIGHTS, folder=tmp_path).read_bytes() == CONTENT
    assert [("authorization" in headers) for _, path, headers in online.requests if path.startswith("/cdn/")] == [
        False
    ]


def test_the_hub_hears_of_nothing_but_the_file_that_is_asked_for(
    online: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    (tmp_path / "token").write_text("hf_from_a_file")
    fetch(WEIGHTS, folder=tmp_path / "kept")
    assert {path for _, path, _ in online.requests} == {f"/{WEIGHTS.repository}/resolve/main/{FILE}"}
    for _, _, headers in online.requests:
        assert "authorization" not in headers
        assert "torch" not in headers["user-agent"]


def test_a_token_is_sent_where_the_variable_for_it_is_set(
    online: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_user")
    fetch(WEIGHTS, folder=tmp_path)
    assert online.requests[0][2]["authorization"] == "Bearer hf_of_the_user"


def test_the_library_has_its_own_settings_again_afterwards(online: FakeHub, tmp_path: Path) -> None:
    before = huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY, huggingface_hub.utils.logging.get_verbosity()
    fetch(WEIGHTS, folder=tmp_path)
    assert before == (
        huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY,
        huggingface_hub.utils.logging.get_verbosity(),
    )


def test_threads_that_fetch_at_once_take_turns_and_leave_the_settings_as_they_were(
    online: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", False)
    download, without_xet = huggingface_hub.hf_hub_download, []

    def slowly(*arguments: object, **options: object) -> str:
        time.sleep(0.1 if options["cache_dir"] == tmp_path / "quick" else 0.3)
        without_xet.append(huggingface_hub.constants.HF_HUB_DISABLE_XET)
        return download(*arguments, **options)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", slowly)
    with ThreadPoolExecutor() as threads:
        paths = threads.map(lambda name: fetch(WEIGHTS, folder=tmp_path / name), ["quick", "slow"])
    assert [each.read_bytes() for each in paths] == [CONTENT] * 2
    assert without_xet == [True] * 2
    assert not huggingface_hub.constants.HF_HUB_DISABLE_XET


def refusal(folder: Path, *, offline: bool = False) -> str:
    with pytest.raises(WeightsError) as refused:
        fetch(WEIGHTS, folder=folder, offline=offline)
    assert len(str(refused.value).splitlines()) == 1
    assert half_written(folder) == []
    return str(refused.value)


@pytest.mark.parametrize("status", [404, 401])
def test_a_hub_without_the_file_is_named_with_the_ways_out(online: FakeHub, tmp_path: Path, status: int) -> None:
    online.status = status
    assert refusal(tmp_path) == (
        f"{online.url} has no model.safetensors of timm/coatnet_nano_rw_224.sw_in1k to give (it answers {status})."
        " Look at HF_ENDPOINT, and at HF_TOKEN if it needs one, or fetch the file elsewhere and use it through"
        " `graft convert`, or in Python as weights=FILE."
    )


def test_a_hub_that_fails_is_named(online: FakeHub, tmp_path: Path) -> None:
    online.status = 503
    assert refusal(tmp_path) == (
        f"{online.url} answers 503 when asked for model.safetensors of timm/coatnet_nano_rw_224.sw_in1k."
        " Try later, or set HF_ENDPOINT to a mirror."
    )


def test_a_server_that_is_no_hub_is_named(online: FakeHub, tmp_path: Path) -> None:
    online.headers = False
    assert f"{online.url} has no checksum for model.safetensors of timm/" in refusal(tmp_path)


def test_a_file_that_is_not_what_the_hub_has_is_removed(online: FakeHub, tmp_path: Path) -> None:
    online.checksum = "e" * 64
    assert refusal(tmp_path) == (
        "The file of coatnet_nano_rw_224.sw_in1k was damaged on its way or since: its checksum is not the hub's"
        " eeeeeeeeeeee... It is removed; ask again to fetch it anew."
    )
    online.checksum = None
    assert fetch(WEIGHTS, folder=tmp_path).read_bytes() == CONTENT


def test_the_checksum_of_a_small_file_is_gits(online: FakeHub, tmp_path: Path) -> None:
    online.checksum = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
    assert fetch(WEIGHTS, folder=tmp_path).read_bytes() == CONTENT


def test_a_hub_whose_checksum_is_none_is_not_trusted(online: FakeHub, tmp_path: Path) -> None:
    online.checksum = "some-tag"
    assert "so it cannot be checked. Set HF_ENDPOINT to another hub, or fetch the file yourself" in refusal(tmp_path)


def test_a_kept_file_that_was_damaged_is_removed_and_fetched_anew(online: FakeHub, tmp_path: Path) -> None:
    blob = put_into_cache(tmp_path, WEIGHTS.repository, CONTENT)
    blob.write_bytes(CONTENT[:-1])
    assert "was damaged on its way or since" in refusal(tmp_path)
    assert fetch(WEIGHTS, folder=tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("way", ["argument", "variable"])
def test_a_damaged_file_is_left_where_no_other_may_be_fetched(way: str, tmp_path: Path) -> None:
    blob = put_into_cache(tmp_path, WEIGHTS.repository, CONTENT)
    blob.write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError) as refused:
        fetch(WEIGHTS, folder=tmp_path, offline=way == "argument")
    said = "--offline" if way == "argument" else "HF_HUB_OFFLINE"
    (link,) = tmp_path.rglob(FILE)
    assert str(refused.value) == (
        "The file of coatnet_nano_rw_224.sw_in1k was damaged on its way or since: its checksum is not the hub's"
        f" {blob.name[:12]}... It is left in {str(link)!r}, since nothing may be fetched ({said}): copy the right file"
        " over it, or ask again where fetching is allowed."
    )
    assert link.read_bytes() == CONTENT[:-1]


def test_a_kept_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_into_cache(tmp_path, WEIGHTS.repository, CONTENT)

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(WeightsError) as refused:
        fetch(WEIGHTS, folder=tmp_path, offline=True)
    assert str(refused.value) == (
        f"The kept file of coatnet_nano_rw_224.sw_in1k in {str(tmp_path)!r} cannot be read: Permission denied. Ask for"
        " the permission to read it, or give another --weights-dir."
    )


def test_a_damaged_file_that_may_not_be_removed_is_refused_all_the_same(
    online: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = put_into_cache(tmp_path, WEIGHTS.repository, CONTENT)
    blob.write_bytes(CONTENT[:-1])

    def denied(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", denied)
    with pytest.raises(WeightsError) as refused:
        fetch(WEIGHTS, folder=tmp_path)
    text = str(refused.value)
    assert text.startswith("The file of coatnet_nano_rw_224.sw_in1k was damaged on its way or since: its checksum is")
    assert text.endswith("cannot be removed: Read-only file system. Have it removed, or give another --weights-dir.")
    assert len(text.splitlines()) == 1


def test_a_transfer_that_breaks_off_leaves_nothing(
    online: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # it tries five times, a second apart
    online.cut = 5000
    text = refusal(tmp_path)
    assert text.startswith(
        "model.safetensors of timm/coatnet_nano_rw_224.sw_in1k could not be fetched from http://127"
    )
    assert (
        "Check the internet connection, set HF_ENDPOINT to a mirror, or fetch the file elsewhere and use it through"
        in text
    )


def test_an_interrupt_leaves_nothing(online: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", stop)
    online.cut = 5000
    with pytest.raises(KeyboardInterrupt):
        fetch(WEIGHTS, folder=tmp_path)
    assert half_written(tmp_path) == []


def test_a_hub_that_nobody_answers_for_is_named(
    online: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    text = refusal(tmp_path)
    assert "could not be fetched from http://127.0.0.1:9 (" in text
    assert "Check the internet connection" in text


@pytest.mark.parametrize("way", ["argument", "variable"])
def test_offline_with_nothing_kept_says_how_to_go_on(way: str, tmp_path: Path) -> None:
    said = "--offline" if way == "argument" else "HF_HUB_OFFLINE"  # which the tests' own settings contain
    assert refusal(tmp_path, offline=way == "argument") == (
        f"coatnet_nano_rw_224.sw_in1k is not in {tmp_path}, and nothing may be fetched ({said}). Fetch it once with"
        " the network, or say with --weights-dir where it is."
    )


def test_a_folder_of_weights_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="folder of weights .*file' cannot be read: Not a directory. Give another"):
        fetch(WEIGHTS, folder=tmp_path / "file")


def test_a_folder_of_weights_that_cannot_be_written_is_refused(online: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="cannot take model.safetensors of .*: Not a directory. Make room, or give"):
        fetch(WEIGHTS, folder=tmp_path / "file" / "inside")


def test_the_variables_of_the_library_say_where_from_and_where_to(online: FakeHub, tmp_path: Path) -> None:
    program = (
        "from visiongraft.weights.hub import fetch\nfrom visiongraft.weights.sources import get_weight_set\n"
        "print(fetch(get_weight_set('coatnet_nano_rw_224')))"
    )
    environment = {"HF_ENDPOINT": online.url, "HF_HOME": str(tmp_path / "home"), "PATH": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    path = Path(done.stdout.strip())
    assert path.is_relative_to(tmp_path / "home" / "hub")
    assert path.read_bytes() == CONTENT
    assert done.stderr == ""
