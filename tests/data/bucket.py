"""A folder that is served as S3 would serve a bucket, on this machine."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

MISSING = b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>There is none.</Message></Error>"


class _Bucket(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, root: Path, asked: list[str], *arguments: Any) -> None:
        self.root, self.asked = root, asked
        super().__init__(*arguments)

    def do_GET(self) -> None:
        name = "/".join(self.path.partition("?")[0].split("/")[2:])  # behind the bucket's
        self.asked.append(f"{self.command} {name}")
        path = self.root / name
        content = path.read_bytes() if path.is_file() else MISSING
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        wanted = content[int(part[1]) : int(part[2] or len(content)) + 1] if part else content
        self.send_response(404 if content is MISSING else 206 if part else 200)
        self.send_header("Content-Length", str(len(wanted)))
        self.send_header("ETag", '"0"')
        self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        if part:
            self.send_header("Content-Range", f"bytes {part[1]}-{int(part[1]) + len(wanted) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(wanted)

    do_HEAD = do_GET

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(root: Path) -> Iterator[tuple[dict[str, str], list[str]]]:
    """Serve a folder; give the variables by which S3's clients find it, and the list of what they ask for."""
    asked: list[str] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Bucket, root, asked)) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield (
            {
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
                "AWS_ACCESS_KEY_ID": "a",
                "AWS_SECRET_ACCESS_KEY": "b",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_MAX_ATTEMPTS": "1",
            },
            asked,
        )
        server.shutdown()
