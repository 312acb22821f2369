"""A hub on this machine, and a folder in the layout of Hugging Face's cache: no test can ask the real one."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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
        requests: what it was asked for, with the headers that came along.
    """

    files: dict[str, bytes]
    status: int = 200
    checksum: str | None = None
    cut: int | None = None
    headers: bool = True
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
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


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:  # noqa: N802 - as http.server calls it
            self._answer()

        def do_GET(self) -> None:  # noqa: N802
            self._answer()

        def _answer(self) -> None:
            said = {name.lower(): value for name, value in self.headers.items()}
            hub.requests.append((self.command, self.path, said))
            repository, _, file = self.path.removeprefix("/").partition("/resolve/main/")
            content = hub.files.get(repository)
            status = hub.status if hub.status != 200 or (content and file == "model.safetensors") else 404
            if status != 200:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                if status == 404:
                    self.send_header("X-Error-Code", "RepoNotFound")
                self.end_headers()
                return
            start = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
            self.send_response(206 if start else 200)
            if hub.headers:
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("ETag", f'"{hub.checksum or hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content[start : hub.cut])

        def log_message(self, *_: object) -> None:
            pass

    return Handler
