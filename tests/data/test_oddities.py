"""What is odd about files that can be read, made here as real files."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.scenes import scene
from visiongraft.data.images import ORIENTATION, read_image
from visiongraft.data.oddities import HOLLOW, ODDITIES, oddities_of

BROKEN_OFF = 2000


def see_through(alpha):
    image = scene(0).convert("RGBA")
    image.putalpha(alpha)
    return image


def exif(orientation):
    found = Image.Exif()
    found[ORIENTATION] = orientation
    return found


def of_16_bits():
    return Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 256)


def png_of_16_bits():
    """Write a PNG of 16-bit colour by hand: Pillow cannot."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0))
    rows = zlib.compress((b"\0" + bytes(range(24))) * 4)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def hollow_webp(path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    noise.save(path, "WEBP", quality=95)
    content = path.read_bytes()
    path.write_bytes(content[:-BROKEN_OFF] + bytes(BROKEN_OFF))


def frames(path, fmt):
    scene(0).save(path, fmt, save_all=True, append_images=[scene(1), scene(2)])


MAKERS = {
    "extension": lambda folder: scene(0).save(folder / "a.jpg", "PNG"),
    "hollow": lambda folder: hollow_webp(folder / "a.webp"),
    "frames": lambda folder: frames(folder / "a.webp", "WEBP"),
    "transparent": lambda folder: see_through(Image.linear_gradient("L").resize((48, 48))).save(folder / "a.png"),
    "cmyk": lambda folder: scene(0).convert("CMYK").save(folder / "a.jpg"),
    "deep": lambda folder: of_16_bits().save(folder / "a.png"),
    "palette": lambda folder: scene(0).quantize(16).save(folder / "a.png"),
    "turned": lambda folder: scene(0).save(folder / "a.jpg", exif=exif(6)),
}


@pytest.mark.parametrize("name", ODDITIES)
def test_each_oddity_is_seen_and_no_other(tmp_path, name):
    MAKERS[name](tmp_path)
    (path,) = tmp_path.iterdir()
    read_image(path)
    assert oddities_of(path) == {name}


@pytest.mark.parametrize(
    "name",
    ["a.jpg", "a.JPEG", "a.jpe", "a.jfif", "a.png", "a.webp", "a.bmp", "a.dib", "a.ppm", "a.tif", "a.TIFF", "a.avif"],
)
def test_a_plain_file_has_none(tmp_path, name):
    scene(0).save(tmp_path / name)
    assert oddities_of(tmp_path / name) == set()


def test_a_file_may_be_odd_in_several_ways(tmp_path):
    path = tmp_path / "a.png"
    frames(path, "GIF")
    assert oddities_of(path) == {"extension", "frames", "palette"}


def test_a_fourth_channel_that_hides_nothing_is_not_odd(tmp_path):
    see_through(255).save(tmp_path / "a.png")
    assert oddities_of(tmp_path / "a.png") == set()


def test_a_palette_with_a_transparent_entry_is_seen(tmp_path):
    scene(0).quantize(16).save(tmp_path / "a.png", transparency=0)
    assert oddities_of(tmp_path / "a.png") == {"palette", "transparent"}


def test_16_bits_of_colour_are_seen_though_pillow_opens_them_as_8(tmp_path):
    (tmp_path / "a.ppm").write_bytes(b"P6 8 8 65535\n" + bytes(384))
    (tmp_path / "a.png").write_bytes(png_of_16_bits())
    assert oddities_of(tmp_path / "a.ppm") == oddities_of(tmp_path / "a.png") == {"deep"}


def test_a_ppm_of_fewer_levels_is_not_deep(tmp_path):
    (tmp_path / "a.ppm").write_bytes(b"P6 8 8 200\n" + bytes(192))
    assert oddities_of(tmp_path / "a.ppm") == set()


def test_the_previews_behind_a_photograph_are_no_frames(tmp_path):
    path = tmp_path / "a.jpg"
    scene(0).save(path, "MPO", save_all=True, append_images=[scene(1)])
    with Image.open(path) as image:
        assert image.format == "MPO"
    assert oddities_of(path) == set()


def test_an_upright_photograph_that_says_so_is_not_odd(tmp_path):
    scene(0).save(tmp_path / "a.jpg", exif=exif(1))
    assert oddities_of(tmp_path / "a.jpg") == set()


def test_zeros_at_the_end_of_pixels_that_are_not_compressed_are_black(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.bmp")
    assert not any((tmp_path / "a.bmp").read_bytes()[-HOLLOW:])
    assert oddities_of(tmp_path / "a.bmp") == set()


def test_zeros_behind_the_end_of_a_jpeg_are_what_some_cameras_write(tmp_path):
    scene(0).save(tmp_path / "a.jpg")
    with (tmp_path / "a.jpg").open("ab") as file:
        file.write(bytes(4096))
    assert oddities_of(tmp_path / "a.jpg") == set()


def test_a_file_that_is_damaged_or_gone_is_for_others_to_name(tmp_path):
    path = tmp_path / "a.jpg"
    scene(0).save(path)
    path.write_bytes(path.read_bytes()[:300])
    assert oddities_of(path) <= set(ODDITIES)
    assert oddities_of(tmp_path / "b.jpg") == set()
