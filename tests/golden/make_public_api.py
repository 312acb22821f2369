"""Write down what users can import, as it is written in the source: names, arguments, defaults.

    python -m tests.golden.make_public_api

It comes from `visiongraft` and from `visiongraft.detect`. Writes `public_api.txt` beside this file.
What it shows changes only with a line in the changelog.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import visiongraft

FILE = Path(__file__).with_name("public_api.txt")


def describe() -> str:
    """Give every exported name with its signature, and under a class its public fields and methods."""
    return "".join(
        f"{line}\n" for line in [*_names(visiongraft), "", "visiongraft.detect", *_names(visiongraft.detect)]
    )


def _names(module: ModuleType) -> Iterator[str]:
    public = set(visiongraft.__all__) | set(visiongraft.detect.__all__)
    for name in sorted(module.__all__):
        each = getattr(module, name)
        node = _source(each)
        yield from _class(node) if isinstance(node, ast.ClassDef) else [_function(node)]
        for base in each.__mro__[1:] if inspect.isclass(each) else ():
            if base.__module__.startswith("visiongraft.") and base.__name__ not in public:
                yield from list(_class(_source(base)))[1:]  # what users see as the class's own


def _source(each: object) -> ast.ClassDef | ast.FunctionDef:
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
    assert isinstance(node, ast.ClassDef | ast.FunctionDef)
    return node


def _class(node: ast.ClassDef) -> Iterator[str]:
    decorators = "".join(f"@{ast.unparse(each)} " for each in node.decorator_list)
    bases = ", ".join(ast.unparse(each) for each in node.bases)
    yield f"{decorators}class {node.name}({bases})"
    for each in node.body:
        match each:
            case ast.AnnAssign(target=ast.Name(id=field)) if not field.startswith("_"):
                yield f"    {ast.unparse(each)}"
            case ast.FunctionDef(name=method) if not method.startswith("_") or method == "__init__":
                yield f"    {_function(each)}"
            case _:
                pass


def _function(node: ast.FunctionDef) -> str:
    kinds = "".join(f"@{ast.unparse(each)} " for each in node.decorator_list)
    returns = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    return f"{kinds}def {node.name}({ast.unparse(node.args)}){returns}"


def main() -> None:
    """Write the file."""
    FILE.write_text(describe())


if __name__ == "__main__":
    main()
