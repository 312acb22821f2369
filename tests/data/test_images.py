"""Every kind of image that a user may have, made here as a real file."""

import io
import os
import pickle
import random
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from torchvision.datasets.folder import default_loader

from visiongraft.data.images import MAX_PIXELS, UnreadableImage, read_image
from visiongraft.errors import DataError, GraftError

ORIENTATION = 0x0112


def photo(width=24, height=16, seed=0):
    """A smooth picture without symmetry, so that every flip and turn of it differs and JPEG keeps it well."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 / width, y * 255 / height, (x + 2 * y + 40 * seed) % 256]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def encoded(image, fmt, **options):
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def png_header(width, height):
    """A PNG that declares a size and holds no pixel."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_lossless_formats_give_back_their_very_pixels():
    for fmt in ("PNG", "BMP", "PPM", "TIFF"):
        assert read_image(encoded(photo(), fmt)).tobytes() == photo().tobytes(), fmt
    assert read_image(encoded(photo(), "WEBP", lossless=True)).tobytes() == photo().tobytes()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_8_bit_mode_reads_as_torchvision_reads_it(tmp_path, mode):
    image = photo().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    fmt = {"CMYK": "JPEG", "YCbCr": "JPEG"}.get(mode, "PNG")
    if mode == "PA":  # a palette with an alpha for each entry: GIF and PNG call it P with transparency
        path = tmp_path / "palette.png"
        image.convert("RGB").quantize(16).save(path, transparency=bytes(range(0, 256, 16)))
    else:
        path = tmp_path / f"{mode}.{fmt.lower()}"
        (image if mode == "RGBA" else image.convert("RGB").convert(mode)).save(path)
    with warnings.catch_warnings(action="ignore"):
        expected = default_loader(str(path))
    ours = read_image(path)
    assert ours.mode == "RGB"
    assert ours.tobytes() == expected.tobytes()


def test_pixels_under_full_transparency_are_kept_as_they_are():
    image = photo().convert("RGBA")
    image.putalpha(0)
    assert read_image(encoded(image, "PNG")).tobytes() == photo().tobytes()


def test_16_bit_gray_is_scaled_and_not_clipped_to_white():
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 256 + 77
    for fmt in ("PNG", "TIFF"):
        pixels = np.asarray(read_image(encoded(Image.fromarray(values), fmt)))
        assert np.array_equal(pixels[:, :, 0], np.arange(256).reshape(16, 16)), fmt
        assert np.array_equal(pixels[:, :, 0], pixels[:, :, 2])
    pgm = b"P5 16 16 65535\n" + values.astype(">u2").tobytes()  # Pillow opens this one in 32 bits
    assert np.array_equal(np.asarray(read_image(pgm))[:, :, 1], np.arange(256).reshape(16, 16))


def test_16_bit_color_keeps_its_high_bytes():
    values = np.arange(3 * 64, dtype=np.uint16).reshape(8, 8, 3) * 300
    ppm = b"P6 8 8 65535\n" + values.astype(">u2").tobytes()
    assert np.abs(np.asarray(read_image(ppm)).astype(int) - values // 257).max() <= 1


def test_32_bit_pixels_without_a_known_range_are_refused():
    with pytest.raises(UnreadableImage, match="floating-point numbers without a known range; save it as 8 bit"):
        read_image(encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"))
    with pytest.raises(UnreadableImage, match="its pixels go from 70000 to 70000; save it as 8 or 16 bit"):
        read_image(encoded(Image.fromarray(np.full((4, 4), 70000, np.int32)), "TIFF"))


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_upright_however_the_camera_was_held(fmt, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(photo(), fmt, exif=exif)
    ours = read_image(data)
    assert ours.tobytes() == ImageOps.exif_transpose(Image.open(io.BytesIO(data)).convert("RGB")).tobytes()
    assert ours.size == ((24, 16) if orientation < 5 else (16, 24))


def test_8_bit_gray_in_pixels_of_32_bits_is_kept_and_not_turned_black():
    values = np.arange(256, dtype=np.int32).reshape(16, 16)
    pixels = np.asarray(read_image(encoded(Image.fromarray(values), "TIFF")))
    assert np.array_equal(pixels[:, :, 0], values)
    wider = np.asarray(read_image(encoded(Image.fromarray(values * 256), "TIFF")))
    assert np.array_equal(wider[:, :, 0], values)


@pytest.mark.parametrize("fmt", ["PNG", "PPM"])
def test_dark_16_bit_gray_stays_dark(fmt):
    dark = Image.fromarray(np.full((4, 4), 200, np.uint16))
    assert read_image(encoded(dark, fmt)).getextrema() == ((0, 0),) * 3


def test_turned_16_bit_gray_is_upright_too():
    values = np.arange(6, dtype=np.uint16).reshape(2, 3) * 256
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # to be turned clockwise
    pixels = np.asarray(read_image(encoded(Image.fromarray(values), "PNG", exif=exif)))[:, :, 0]
    assert pixels.tolist() == [[3, 0], [4, 1], [5, 2]]


def test_damaged_exif_data_does_not_spoil_an_image():
    data = encoded(photo(), "JPEG", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xffgarbage")
    assert read_image(data).size == (24, 16)


@pytest.mark.parametrize("fmt", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_read(fmt):
    black, white = Image.new("RGB", (8, 8), "black"), Image.new("RGB", (8, 8), "white")
    assert read_image(encoded(black, fmt, save_all=True, append_images=[white])).getpixel((4, 4)) == (0, 0, 0)


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_truncated_image_is_refused_and_never_half_read(tmp_path, fmt):
    data = encoded(Image.effect_noise((64, 64), 100).convert("RGB"), fmt)
    path = tmp_path / f"cut.{fmt.lower()}"
    for share in (0.1, 0.5, 0.8):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(UnreadableImage, match="damaged") as refusal:
            read_image(path)
        assert str(refusal.value).startswith(f"Cannot read {str(path)!r} as an image: it is damaged")
        assert "\n" not in str(refusal.value)


def test_an_empty_file_is_called_empty(tmp_path):
    path = tmp_path / "empty.jpg"
    path.touch()
    with pytest.raises(UnreadableImage) as refusal:
        read_image(path)
    assert str(refusal.value) == f"Cannot read {str(path)!r} as an image: the file is empty (0 bytes)."
    assert (refusal.value.name, refusal.value.reason) == (str(path), "the file is empty (0 bytes)")


def test_a_file_that_is_no_image_shows_how_it_starts(tmp_path):
    path = tmp_path / "page.jpg"
    path.write_text("<html>404</html>")
    with pytest.raises(UnreadableImage, match=r"no image of a known format \(it starts with b'<html>40'\)"):
        read_image(path)


def test_what_is_no_file_is_said_so(tmp_path):
    with pytest.raises(UnreadableImage, match="there is no such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(UnreadableImage, match="it is a folder"):
        read_image(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")  # reading it would wait for ever
    with pytest.raises(UnreadableImage, match="it is no regular file"):
        read_image(tmp_path / "pipe.jpg")


def test_postscript_is_not_handed_to_ghostscript():
    with pytest.raises(UnreadableImage, match="no image of a known format"):
        read_image(encoded(photo(), "EPS"))


@pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_by_its_header(width, height):
    with pytest.raises(UnreadableImage) as caught:
        read_image(png_header(width, height))
    assert caught.value.reason == f"it has {width} x {height} pixels; at most 89,478,485 are read, so shrink it first"


@pytest.mark.parametrize(("fmt", "form"), [("JPEG", ">2H"), ("GIF", "<2H"), ("BMP", "<2i"), ("TIFF", ""), ("PPM", "")])
def test_the_size_of_a_gigantic_image_is_told_whatever_its_format(fmt, form):
    def said(width, height):
        if fmt == "TIFF":  # an entry of its directory: tag, type, how many, value
            return [struct.pack("<HHII", 256 + tag, 4, 1, side) for tag, side in enumerate((width, height))]
        sides = (height, width) if fmt == "JPEG" else (width, height)
        return [struct.pack(form, *sides) if form else f"{width} {height}".encode()]

    image = encoded(Image.new("L", (3, 5)), fmt)
    for small, large in zip(said(3, 5), said(60_000, 50_000), strict=True):
        image = image.replace(small, large)
    with pytest.raises(UnreadableImage) as caught:
        read_image(image)
    assert caught.value.reason == "it has 60000 x 50000 pixels; at most 89,478,485 are read, so shrink it first"


def test_the_limit_holds_where_warnings_are_errors_and_where_pillow_has_no_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(UnreadableImage, match=r"it has 9460 x 9460 pixels"):
        read_image(png_header(9460, 9460))
    monkeypatch.undo()
    with warnings.catch_warnings(action="error"), pytest.raises(UnreadableImage, match="9460 x 9460"):
        read_image(png_header(9460, 9460))
    assert 9459 * 9459 <= MAX_PIXELS < 9460 * 9460


@pytest.mark.parametrize("name", ["猫 的照片.png", "🐈 cat 🐈.png", "a'b\"c.png", "tab\there.png", "line\nbreak.png"])
def test_file_names_may_hold_anything(tmp_path, name):
    photo().save(tmp_path / name, "PNG")
    assert read_image(tmp_path / name).tobytes() == photo().tobytes()
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UnreadableImage) as refusal:
        read_image(tmp_path / name)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_chinese_name_stays_readable_in_an_error(tmp_path):
    with pytest.raises(UnreadableImage, match="猫"):
        read_image(tmp_path / "猫.jpg")


def test_a_name_that_is_no_unicode_works(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    photo().save(path)
    assert read_image(path).size == (24, 16)
    path.write_bytes(b"")
    with pytest.raises(UnreadableImage) as refusal:
        read_image(path)
    str(refusal.value).encode()  # can be printed


def test_bytes_are_called_by_the_name_they_come_with():
    with pytest.raises(UnreadableImage, match="Cannot read 'upload 3' as an image"):
        read_image(b"nothing", name="upload 3")


def test_an_unreadable_image_is_a_mistake_of_the_user_and_survives_a_worker_process():
    error = UnreadableImage("a.jpg", "it is damaged")
    assert isinstance(error, DataError)
    assert isinstance(error, GraftError)
    again = pickle.loads(pickle.dumps(error))
    assert (again.name, again.reason, str(again)) == (error.name, error.reason, str(error))


def test_damaged_bytes_give_an_image_or_one_line_and_nothing_else():
    chance = random.Random(0)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    formats = [("JPEG", {"exif": exif}), ("PNG", {"exif": exif}), ("GIF", {}), ("BMP", {}), ("WEBP", {}), ("AVIF", {})]
    originals = [encoded(photo(), fmt, **options) for fmt, options in formats]
    refused = 0
    for _ in range(1500):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.choice([1, 3, 10])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            assert read_image(bytes(data)).mode == "RGB"
        except UnreadableImage as error:
            refused += 1
            assert len(str(error).splitlines()) == 1
    assert refused > 100


def test_what_others_put_in_the_place_of_pillows_opener_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def install(*_: object, **__: object) -> Image.Image:
        raise ModuleNotFoundError("No module named 'pi_heif'")

    monkeypatch.setattr(Image, "open", install)
    image = encoded(photo(), "PNG")
    assert read_image(image).size == photo().size
    with pytest.raises(UnreadableImage, match="no image of a known format"):
        read_image(b"GIF87 no image")
