import ast
import importlib.metadata
import importlib.util
import re
import socket
import sys
import tomllib
import types
from itertools import chain
from pathlib import Path

import pytest
import torch
from beartype.roar import BeartypeException
from jaxtyping import TypeCheckError
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import visiongraft
from visiongraft.data.transforms import jitter_colors
from visiongraft.kernels.attention import attention
from visiongraft.preprocessing import Preprocessing, normalize

REPOSITORY = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def check_docs() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("check_docs", REPOSITORY / "scripts" / "check_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def declared() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(each) for each in [*PROJECT["dependencies"], *chain.from_iterable(extras)]]


def pins() -> dict[str, str]:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def foreign_packages(tree: ast.Module) -> set[str]:
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules.add(node.module)
    return {each.partition(".")[0] for each in modules} - sys.stdlib_module_names - {"visiongraft", "graft_command"}


def test_the_version_is_written_in_one_place():
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]
    written = [
        path.relative_to(REPOSITORY).as_posix()
        for path in sorted((REPOSITORY / "src").rglob("*.py"))
        if re.search(r"^__version__\s*=", path.read_text(), re.MULTILINE)
    ]
    assert written == ["src/visiongraft/__init__.py"]
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+)?", visiongraft.__version__)


def test_every_constraint_is_one_plain_pin():
    lines = [line for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    odd = [line for line in lines if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*==[0-9][0-9a-z.]*", line)]
    assert odd == []
    names = [line.split("==")[0] for line in lines]
    assert names == sorted(set(names))
    assert "visiongraft" not in names


def test_the_constraints_cover_and_satisfy_every_declared_dependency():
    pinned = pins()
    for requirement in declared():
        name = canonicalize_name(requirement.name)
        if name == "visiongraft":
            assert requirement.extras <= PROJECT["optional-dependencies"].keys()
        else:
            assert pinned[name] in requirement.specifier, f"{requirement} against {name}=={pinned[name]}"


def test_every_library_that_the_package_imports_is_declared():
    names = {canonicalize_name(each.name) for each in declared()}
    distributions = importlib.metadata.packages_distributions()
    undeclared = {}
    for path in sorted((REPOSITORY / "src").rglob("*.py")):
        for top in foreign_packages(ast.parse(path.read_text())):
            if names.isdisjoint(map(canonicalize_name, distributions.get(top, [top]))):
                undeclared[top] = path.name
    assert undeclared == {}


def test_no_file_holds_a_registry_or_a_broken_link(check_docs):
    assert check_docs.findings(REPOSITORY) == []


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("[guide](missing.md)", "page.md: the link missing.md leads nowhere"),
        ('<img src="missing.png">', "page.md: the link missing.png leads nowhere"),
        ("a\npip install --index-" + "url x", "page.md: line 2 holds the address of a package registry"),
        ("see files.python" + "hosted.org/x", "page.md: line 1 holds the address of a package registry"),
        ("open /ho" + "me/ada/x", "page.md: line 1 holds a path of one developer's machine"),
    ],
)
def test_the_check_of_the_pages_finds_each_fault(check_docs, tmp_path, text, finding):
    (tmp_path / "page.md").write_text(text)
    (found,) = check_docs.findings(tmp_path)
    assert found.startswith(finding)


def test_the_check_of_the_pages_passes_what_is_right(check_docs, tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")
    (tmp_path / "page.md").write_text(
        "[self](page.md#top) [top](#top) [web](https://example.org/a.md) ![p](picture.png) `[code](none.md)`"
    )
    assert check_docs.findings(tmp_path) == []


def test_a_kernel_called_with_a_wrong_shape_is_caught_in_tests():
    query = torch.zeros(1, 2, 3, 4)
    with pytest.raises((TypeCheckError, BeartypeException)):
        attention(query, torch.zeros(1, 2, 5, 4), query)


def test_pixels_of_a_wrong_shape_or_kind_are_caught_in_tests():
    for wrong in (torch.zeros(3, 4, 4), torch.zeros(1, 4, 4, 3), torch.zeros(1, 3, 4, 4, dtype=torch.int64)):
        with pytest.raises((TypeCheckError, BeartypeException)):
            normalize(wrong, Preprocessing())
        with pytest.raises((TypeCheckError, BeartypeException)):
            jitter_colors(wrong, 0.5)


def test_a_shape_checked_kernel_still_compiles_to_one_graph_and_exports():
    class Attend(torch.nn.Module):
        def forward(self, query):
            return attention(query, query, query)

    query = torch.randn(1, 2, 3, 4)
    expected = Attend()(query)
    compiled = torch.compile(Attend(), fullgraph=True, backend="eager")(query)
    torch.testing.assert_close(compiled, expected)
    exported = torch.export.export(Attend(), (query,), strict=True).module()(query)
    torch.testing.assert_close(exported, expected)


@pytest.mark.parametrize("host", ["example.org", "192.0.2.1", "2001:db8::1"])
def test_a_test_that_reaches_for_the_network_is_refused_and_noted(no_network, host):
    with pytest.raises(OSError, match=f"may not use the network, and this one asked for {host}"):
        socket.create_connection((host, 80), timeout=1)
    assert no_network == [host]
    no_network.clear()


def test_a_test_may_talk_to_its_own_machine():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=5):
        pass
