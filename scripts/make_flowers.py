"""Make the flower photographs that travel inside the package, from a folder of larger ones.

    python scripts/make_flowers.py [--source FOLDER] [--target FOLDER]

Writes `flowers64.zip` (SPLIT/CLASS/NAME.webp, 64 x 64 pixels) and `flowers64.tsv` (who took each photograph). The same
source and the same Pillow give the same bytes: names are sorted and the dates inside the archive are fixed.
"""

import argparse
import io
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

SIDE = 64
"""Pixels of the square photographs."""

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every entry: the earliest that a zip file can state."""

CHANGES = "# Changed for this package: cut to the centred square, shrunk to 64 x 64 pixels, encoded as WebP again.\n"
"""CC BY 2.0, section 4b, asks that changes are said."""


def square(photo: Image.Image, side: int) -> Image.Image:
    """Cut the centred square as large as the short side, and shrink it to `side` x `side`."""
    short = min(photo.size)
    left, top = (photo.width - short) // 2, (photo.height - short) // 2
    return photo.crop((left, top, left + short, top + short)).resize((side, side), Image.Resampling.LANCZOS)


def photographs(archives: list[Path]) -> Iterator[tuple[str, Image.Image]]:
    """Give every photograph of the archives with its name, as RGB."""
    for archive in archives:
        with tarfile.open(archive) as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.isfile() else None
                if stream is not None:
                    yield member.name.removeprefix("./"), Image.open(io.BytesIO(stream.read())).convert("RGB")


def encode(photo: Image.Image) -> bytes:
    """Compress a photograph as WebP."""
    buffer = io.BytesIO()
    photo.save(buffer, "WEBP", quality=85, method=6)
    return buffer.getvalue()


def write_archive(files: dict[str, bytes], target: Path) -> None:
    """Store the files, sorted by name. They are compressed already, so the archive does not try again."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, files[name])


def attribution(table: str, names: set[str]) -> str:
    """Add what we changed to the comment of the source's table.

    Raises:
        ValueError: if a photograph has no row, or a row no photograph.
    """
    lines = table.splitlines(keepends=True)
    comments = [line for line in lines if line.startswith("#")]
    rows = [line for line in lines if not line.startswith("#")]
    listed = {row.split("\t")[0] for row in rows}
    if listed != names:
        raise ValueError(f"The attribution table and the photographs differ in {sorted(listed ^ names)[:5]}.")
    licence, header = comments
    return "".join([licence, CHANGES, header, *sorted(rows)])


def main() -> None:
    """Read the options and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder with train.tar, val.tar and ATTRIBUTION.tsv")
    parser.add_argument("--target", type=Path, default=Path("src/visiongraft/data"))
    options = parser.parse_args()
    archives = [options.source / "train.tar", options.source / "val.tar"]
    files = {name: encode(square(photo, SIDE)) for name, photo in photographs(archives)}
    table = attribution((options.source / "ATTRIBUTION.tsv").read_text(encoding="utf-8"), set(files))
    write_archive(files, options.target / "flowers64.zip")
    (options.target / "flowers64.tsv").write_text(table, encoding="utf-8", newline="\n")
    sys.stdout.write(f"{len(files)} photographs in {options.target / 'flowers64.zip'}\n")


if __name__ == "__main__":
    main()
