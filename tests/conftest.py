"""What every test stands on: checked shapes, one thread, no network, and a Ctrl-C that is heard.

Shapes. The kernels, and what turns images into batches, say the shapes of their tensors as types. In production these
cost nothing; here an import hook has jaxtyping and beartype check them at every call, and the values of dataclasses in
those modules too. A checked function cannot be traced as it is: under `torch.compile(fullgraph=True)` and strict
`torch.export`, Dynamo refuses the `isinstance` of a tensor with a type of jaxtyping's, and `torch.jit.trace` gives
sizes as tensors. So jaxtyping's own switch is tied to both. Eager calls stay checked, compiled graphs hold the kernel
alone, and no test has to do anything for it.
"""

import ipaddress
import os
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch

from tests.once import Once, made_once

# A shell ignores Ctrl-C in what it starts in the background, and so might all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

CHECKED_PACKAGES = (
    "visiongraft.kernels",
    "visiongraft.preprocessing",
    "visiongraft.data.transforms",
    "visiongraft.detect.pyramid",
    "visiongraft.detect.regions",
)
"""The packages whose shapes are checked. Their modules avoid `from __future__ import annotations`."""

REPOSITORY = Path(__file__).resolve().parents[1]


class OffWhileTracing(type(jaxtyping.config)):
    """jaxtyping's settings, whose switch for turning checks off follows PyTorch: it is on while a graph is traced."""

    @property
    def jaxtyping_disable(self) -> bool:
        return torch.compiler.is_compiling() or torch.jit.is_tracing()


jaxtyping.config.__class__ = OffWhileTracing
jaxtyping.install_import_hook(CHECKED_PACKAGES, "beartype.beartype")

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start, as below of this one
torch.set_num_threads(1)  # small tensors gain nothing from more, and on a busy machine threads wait for one another


@pytest.fixture
def shared() -> Path:
    """Give the folder of facts and photographs that lies beside the repository where the project is developed."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the development material in {folder.name}/ beside the repository")
    return folder


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Give what makes files once for all tests, in whichever of pytest's processes they run. Nobody changes them."""
    own = tmp_path_factory.getbasetemp()
    return partial(made_once, own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Fail the test that looks up or connects to anything but this machine, even where the code hides the failure.

    Gives the list of the hosts that were asked for. What native code and child processes do is not seen.
    """
    refused: list[str] = []
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def refuse_strangers(host: object) -> None:
        if not _is_this_machine(host):
            refused.append(str(host))
            raise OSError(f"tests may not use the network, and this one asked for {host}")

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            refuse_strangers(address[0])
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        if self.family != socket.AF_UNIX:
            refuse_strangers(address[0])
        return connect_ex(self, address)

    def guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        refuse_strangers(host)
        return getaddrinfo(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
    yield refused
    if refused:
        pytest.fail(f"the test used the network: {', '.join(refused)}")


def _is_this_machine(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode()
    if host in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False
