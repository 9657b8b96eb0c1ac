"""A picture is told by its first bytes, whatever its name, and read by a plugin where one is installed."""

import io
import struct
import sys
from pathlib import Path

import pytest
from PIL import Image, features

from morelli.preparation.picture_files import HEAD_BYTES, UnusableError, may_be_read_later, picture_kind
from morelli.preparation.pictures import read_rgb
from morelli.preparation.prepare import prepare

Image.init()  # so that Image.SAVE has every format
WRITTEN_BY_PILLOW = (
    "JPEG",
    "PNG",
    "GIF",
    "TIFF",
    "WEBP",
    "BMP",
    "JPEG2000",
    *(["AVIF"] if "AVIF" in Image.SAVE else []),
)


def head_of(format_: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (20, 20), "teal").save(stream, format_, **options)
    return stream.getvalue()[:HEAD_BYTES]


def brands(*names: bytes) -> bytes:
    box = names[0] + bytes(4) + b"".join(names[1:])
    return struct.pack(">I", 8 + len(box)) + b"ftyp" + box + b"\0\0\0\x20meta" + bytes(80)


@pytest.mark.parametrize("format_", WRITTEN_BY_PILLOW)
def test_what_pillow_writes_is_told(format_: str) -> None:
    assert picture_kind(head_of(format_)) == format_


def test_other_forms_are_told() -> None:
    assert picture_kind(head_of("TIFF", big_tiff=True)) == "BigTIFF"
    assert picture_kind(b"MM\0*\0\0\0\x08") == "TIFF"
    assert picture_kind(head_of("JPEG2000", no_jp2=True)) == "JPEG2000"
    assert picture_kind(b"\xff\x0a\xfa\x1f") == "JPEG XL"
    assert picture_kind(b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ") == "JPEG XL"


def test_a_brand_or_the_first_compatible_one_that_is_known_tells_avif_from_heic() -> None:
    assert picture_kind(brands(b"heic", b"mif1", b"heic")) == "HEIC"
    assert picture_kind(brands(b"mif1", b"mif1", b"heix", b"miaf")) == "HEIC"
    assert picture_kind(brands(b"mif1", b"mif1", b"avif", b"miaf")) == "AVIF"
    assert picture_kind(brands(b"avis", b"msf1")) == "AVIF"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff",
        b"BM is how this letter begins, and it is no bitmap",
        b"RIFF\x24\x08\0\0WAVEfmt ",
        brands(b"isom", b"iso2", b"mp41"),
        b"version https://git-lfs.github.com/spec/v1\n",
        b"%PDF-1.7",
        b"\0\x05\x16\x07\0\x02\0\0Mac OS X",
        b"<html>",
    ],
)
def test_what_is_no_picture_has_no_kind(head: bytes) -> None:
    assert picture_kind(head) is None


@pytest.mark.skipif("AVIF" not in Image.SAVE, reason="this Pillow writes no AVIF")
def test_avif_is_read() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(stream, "AVIF")
    stream.seek(0)

    assert read_rgb(stream, 16).size == (21, 16)


@pytest.mark.parametrize(
    ("module", "kind", "format_"), [("pillow_heif", "HEIC", "HEIF"), ("pillow_jxl", "JPEG XL", "JXL")]
)
def test_plugins_read_what_pillow_cannot(module: str, kind: str, format_: str) -> None:
    plugin = pytest.importorskip(module)
    if kind == "HEIC":
        plugin.register_heif_opener()
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 40, 40)).save(stream, format_)
    assert picture_kind(stream.getvalue()[:HEAD_BYTES]) == kind
    stream.seek(0)

    picture = read_rgb(stream, 24)

    assert picture.size == (32, 24)
    assert max(abs(a - b) for a, b in zip(picture.getpixel((9, 9)), (200, 40, 40), strict=True)) < 6
    with pytest.raises(UnusableError):
        read_rgb(io.BytesIO(stream.getvalue()[:-40]), 24)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (brands(b"heic", b"mif1"), "HEIC, which needs: pip install pillow-heif"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL, which needs: pip install pillow-jxl-plugin"),
        (brands(b"avif", b"mif1"), "AVIF, which needs: pip install pillow-avif-plugin"),
    ],
)
def test_without_its_plugin_a_picture_is_left_out_with_the_package_to_install(
    head: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("pillow_avif", "pillow_heif", "pillow_jxl"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(features, "check", lambda _: None)

    with pytest.raises(UnusableError) as error:
        read_rgb(io.BytesIO(head), 24)

    assert str(error.value) == reason
    assert may_be_read_later(reason)
    assert not may_be_read_later("truncated")


def test_a_package_installed_later_brings_its_pictures_into_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = pytest.importorskip("pillow_heif")
    plugin.register_heif_opener()
    (tmp_path / "source" / "A").mkdir(parents=True)
    Image.new("RGB", (64, 48), (200, 40, 40)).save(tmp_path / "source" / "A" / "1.png")
    Image.new("RGB", (64, 48), (40, 40, 200)).save(tmp_path / "source" / "A" / "2.heic", "HEIF")
    reason = "HEIC, which needs: pip install pillow-heif"

    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pillow_heif", None)
        for _ in range(2):
            summary = prepare(tmp_path / "source", tmp_path / "out", workers=1)
            assert (summary.usable, summary.left_out) == (1, {reason: 1})
    with_it = prepare(tmp_path / "source", tmp_path / "out", workers=1)

    assert (with_it.usable, with_it.left_out) == (2, {})
    assert prepare(tmp_path / "source", tmp_path / "out", workers=1).already_done
