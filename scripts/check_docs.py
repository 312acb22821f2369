"""Find broken links in the pages, and text that must not be in any file of the repository.

    python scripts/check_docs.py [FOLDER]

Prints one line per finding and exits with 1 if there is one.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

LINK = re.compile(r"""\]\(\s*<?([^)\s>]+)[^)]*\)|(?:href|src)=["']([^"']+)["']""")
CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]+`", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#", re.IGNORECASE)

FORBIDDEN = {
    "the address of a package registry": re.compile(
        r"\b(?:pypi|pythonhosted|npmjs|anaconda)\.(?:org|com|io)\b|(?<![\w-])--(?:extra-)?index-url\b", re.IGNORECASE
    ),
    "a path of one developer's machine": re.compile(r"(?<![\w.~/$}-])/(?:home|root|work|Users)/\w"),
}


def files_of(root: Path) -> list[Path]:
    """List what belongs to the repository: what git tracks or would, or every file where there is no git."""
    listing = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "."],
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        return sorted(path for path in root.rglob("*") if path.is_file())
    return sorted(path for name in listing.stdout.split("\0") if name and (path := root / name).is_file())


def broken_links(page: Path, text: str, root: Path) -> Iterator[str]:
    """Name the links of a Markdown page that lead to no file of the repository."""
    for match in LINK.finditer(CODE.sub("", text)):
        target = match[1] or match[2]
        if ELSEWHERE.match(target):
            continue
        path, _, _ = target.partition("#")
        start = root if path.startswith("/") else page.parent
        if not (start / path.lstrip("/")).exists():
            yield f"the link {target} leads nowhere"


def forbidden_text(text: str) -> Iterator[str]:
    """Name the lines that hold what no file may hold."""
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in FORBIDDEN.items():
            if found := pattern.search(line):
                yield f"line {number} holds {what}: {found[0]}"


def findings(root: Path) -> list[str]:
    """Check a whole folder. Files that are not text are passed over."""
    found: list[str] = []
    for path in files_of(root):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        lines = list(forbidden_text(text))
        if path.suffix == ".md":
            lines += broken_links(path, text, root)
        found += [f"{path.relative_to(root)}: {each}" for each in lines]
    return found


def main() -> int:
    """Check the folder that the command line names, or this repository."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]
    found = findings(root)
    print("\n".join(found) or f"{len(files_of(root))} files: links lead somewhere, nothing forbidden")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
