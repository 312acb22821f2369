"""A hub on this machine, and a folder in the layout of Hugging Face's cache: no test can ask the real one."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """What the server has and how it behaves.

    Args:
        files: content by repository.
        status: answered instead of anything else.
        checksum: told instead of the right one.
        cut: bytes after which every transfer breaks off.
        headers: whether it answers with the headers of a hub.
        elsewhere: whether files are kept under another host's name, as large ones are.
        requests: what it was asked for, with the headers that came along.
    """

    files: dict[str, bytes]
    status: int = 200
    checksum: str | None = None
    cut: int | None = None
    headers: bool = True
    elsewhere: bool = False
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def put_into_cache(folder: Path, repository: str, content: bytes) -> Path:
    """Lay a file where huggingface_hub would have put it; give the path of its content."""
    repo = folder / f"models--{repository.replace('/', '--')}"
    snapshot = repo / "snapshots" / COMMIT
    blob = repo / "blobs" / hashlib.sha256(content).hexdigest()
    for each in (blob.parent, snapshot, repo / "refs"):
        each.mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    blob.write_bytes(content)
    (snapshot / "model.safetensors").symlink_to(f"../../blobs/{blob.name}")
    return blob


class Handler(BaseHTTPRequestHandler):
    """Answers for a hub."""

    def __init__(self, hub: FakeHub, *arguments: object) -> None:
        self.hub = hub
        super().__init__(*arguments)

    def do_HEAD(self) -> None:  # as http.server calls it
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        said = {name.lower(): value for name, value in self.headers.items()}
        self.hub.requests.append((self.command, self.path, said))
        repository, _, file = self.path.removeprefix("/cdn").removeprefix("/").partition("/resolve/main/")
        content = self.hub.files.get(repository)
        if self.hub.status != 200 or content is None or file != "model.safetensors":
            self._say(404 if self.hub.status == 200 else self.hub.status, {"X-Error-Code": "RepoNotFound"})
        elif self.hub.elsewhere and not self.path.startswith("/cdn/"):
            self._redirect(content)
        else:
            self._give(content)

    def _redirect(self, content: bytes) -> None:
        place = f"{self.hub.url.replace('127.0.0.1', 'localhost')}/cdn{self.path}"
        about = {"X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Linked-Size": str(len(content))}
        self._say(302, {"Location": place, "X-Repo-Commit": COMMIT, "ETag": '"of-the-pointer"', **about})

    def _give(self, content: bytes) -> None:
        start = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        about = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        if self.hub.headers:
            checksum = self.hub.checksum or hashlib.sha256(content).hexdigest()
            about |= {"X-Repo-Commit": COMMIT, "ETag": f'"{checksum}"'}
        self._say(206 if start else 200, about, length=len(content) - start)
        if self.command == "GET":
            self.wfile.write(content[start : self.hub.cut])

    def _say(self, status: int, headers: dict[str, str], *, length: int = 0) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass
