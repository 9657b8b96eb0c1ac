"""TIFFs as scanners write them: deep, in planes, of several pages, and damaged beside the pixels."""

import io
import itertools
import logging
import struct
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from morelli.preparation import tiff as tiff_reader
from morelli.preparation.picture_files import UnusableError
from morelli.preparation.pictures import read_rgb

HEIGHT, WIDTH = 40, 60
_Y, _X = np.mgrid[0:HEIGHT, 0:WIDTH]
RGB = np.stack([_X * 4, _Y * 6, 255 - _X - _Y], -1).astype(np.uint8)
GREY = RGB[..., :1]
OPAQUE = np.full_like(GREY, 255)

COLOURS = {
    "grey": (GREY, "minisblack", [], GREY),
    "grey, white is zero": (255 - GREY, "miniswhite", [], GREY),
    "grey with alpha": (np.dstack([GREY, OPAQUE]), "minisblack", ["unassalpha"], GREY),
    "RGB": (RGB, "rgb", [], RGB),
    "RGB with alpha": (np.dstack([RGB, OPAQUE]), "rgb", ["unassalpha"], RGB),
    "RGB and a band of something": (np.dstack([RGB, GREY]), "rgb", ["unspecified"], RGB),
    "CMYK": (np.dstack([255 - RGB, 0 * GREY]), "separated", [], RGB),
}
DEPTHS = {"uint8": 1, "uint16": 257, "uint32": 257 * 65537, "float16": 1 / 255, "float32": 1 / 255, "float64": 1 / 255}


def tiff(samples: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples, **options)
    return stream.getvalue()


def read(content: bytes) -> np.ndarray:
    return np.asarray(read_rgb(io.BytesIO(content), 2000), dtype=float)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("colours", COLOURS)
def test_every_depth_and_layout_shows_the_same_painting(colours: str, depth: str) -> None:
    samples, photometric, extra, wanted = COLOURS[colours]
    kind = np.dtype(depth)
    deep = samples.astype(kind) * np.array(DEPTHS[depth]).astype(kind)
    for planar, packed, tile, order in itertools.product(
        ("contig", "separate"), (None, "zlib", "lzw"), (None, (32, 32)), "<>"
    ):
        if deep.shape[2] == 1 and planar == "separate":
            continue
        bands = np.moveaxis(deep, 2, 0) if planar == "separate" else deep
        content = tiff(
            bands.squeeze(),
            photometric=photometric,
            planarconfig=planar if deep.shape[2] > 1 else None,
            extrasamples=extra or None,
            compression=packed,
            tile=tile,
            byteorder=order,
        )
        assert np.abs(read(content) - wanted).mean() < 1.5, (planar, packed, tile, order)


def of_twelve_bits(grey: np.ndarray) -> bytes:
    """Write what only some versions of tifffile write."""
    bits = np.unpackbits(grey.astype(">u2").view(np.uint8).reshape(*grey.shape, 2), axis=-1)[..., 4:]
    data = np.packbits(bits.reshape(len(grey), -1), axis=-1).tobytes()
    tags = {
        256: WIDTH,
        257: HEIGHT,
        258: 12,
        259: 1,
        262: 1,
        273: 8 + 2 + 9 * 12 + 4,
        277: 1,
        278: HEIGHT,
        279: len(data),
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


def test_twelve_bits_and_small_numbers_in_many_bits_are_scaled_by_what_they_hold() -> None:
    packed = of_twelve_bits(GREY[..., 0].astype(np.uint16) * 16 + 8)
    in_32 = tiff(RGB[..., 0].astype(np.uint32), photometric="minisblack")
    hdr = tiff(np.where((_X == 5) & (_Y < 9), 3, GREY[..., 0] / 255).astype(np.float32), photometric="minisblack")

    assert np.abs(read(packed) - GREY).mean() < 1.5
    assert np.abs(read(in_32) - GREY).mean() < 1.5
    assert np.abs(read(hdr) - GREY)[10:].mean() < 1.5  # a few highlights do not darken all else


def several(*pages: tuple[np.ndarray, dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for samples, options in pages:
            writer.write(samples, **{"photometric": "rgb"} | options)
    return stream.getvalue()


SMALL = np.ascontiguousarray(255 - RGB[::2, ::2])
DEEP = np.moveaxis(RGB.astype(np.uint16) * 257, 2, 0)
FIRST, LAST, INSIDE = {"subfiletype": 1}, {"subfiletype": 0}, {"subifds": 1}


@pytest.mark.parametrize(
    "content",
    [
        several((SMALL, FIRST), (RGB, LAST)),
        several((RGB, LAST), (SMALL, FIRST)),
        several((SMALL, FIRST), (DEEP, {"planarconfig": "separate"}), (SMALL, FIRST)),
        several((SMALL, INSIDE), (RGB, LAST)),
        several(
            (np.kron(GREY[..., 0] > 9, np.ones((2, 2), bool)), {"photometric": "mask", "subfiletype": 4}), (RGB, {})
        ),
        several((RGB, {}), (255 - RGB, {})),
    ],
    ids=["thumbnail first", "thumbnail last", "deep in the middle", "inside the thumbnail", "mask", "first of equals"],
)
def test_the_largest_page_is_the_picture(content: bytes) -> None:
    assert np.abs(read(content) - RGB).mean() < 1.5


def test_a_deep_picture_is_turned_upright_and_its_profile_is_found() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = tiff(
        DEEP, photometric="rgb", planarconfig="separate", iccprofile=profile, extratags=[(274, 3, 1, 6, True)]
    )

    opened = tiff_reader.open_tiff(io.BytesIO(content), nullcontext())

    assert opened.info["icc_profile"] == profile
    assert np.abs(read(content) - np.rot90(RGB, -1)).mean() < 1.5


def test_multiplied_alpha_is_taken_out_again() -> None:
    half = np.full_like(GREY, 128)
    content = tiff(
        np.dstack([RGB // 2, half]).astype(np.uint16) * 257,
        photometric="rgb",
        extrasamples=["assocalpha"],
        compression="zlib",
    )

    assert np.abs(read(content) - (RGB / 2 + 127)).mean() < 2.5


def test_truncated_planes_and_what_nothing_reads_are_named() -> None:
    whole = tiff(DEEP, photometric="rgb", planarconfig="separate")
    lab = tiff(RGB.astype(np.uint16) * 257, photometric="cielab")
    for content, reason in (
        (whole[: len(whole) // 2], "truncated"),
        (whole[:-1], "truncated"),
        (lab, "16 bits in LAB"),
    ):
        with pytest.raises(UnusableError, match=reason):
            read(content)


def test_without_imagecodecs_what_needs_it_is_left_out_with_its_name(tmp_path: Path) -> None:
    deep = RGB.astype(np.uint16) * 257
    (tmp_path / "floats.tif").write_bytes(tiff((RGB / 255).astype(np.float32), photometric="rgb", compression="lzw"))
    (tmp_path / "planes.tif").write_bytes(tiff(DEEP, photometric="rgb", planarconfig="separate", compression="zlib"))
    (tmp_path / "deep.tif").write_bytes(tiff(deep, photometric="rgb", compression="lzw", predictor=True))
    script = """
import sys
sys.modules["imagecodecs"] = None
from morelli.preparation.picture_files import UnusableError
from morelli.preparation.pictures import read_rgb
for name in ("planes", "deep", "floats"):
    try:
        print(name, read_rgb(open(f"{name}.tif", "rb"), 40).size)
    except UnusableError as error:
        print(name, error)
"""
    answer = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True)

    assert answer.stdout.splitlines() == [
        "planes (60, 40)",
        "deep (60, 40)",
        "floats a TIFF of 32 bits packed by LZW, which needs: pip install imagecodecs",
    ]


def links(content: bytes) -> list[int]:
    """Where the offset of each page, and at last of none, is written."""
    places, place = [], 4
    while True:
        places.append(place)
        (offset,) = struct.unpack("<I", content[place : place + 4])
        if not offset:
            return places
        (tags,) = struct.unpack("<H", content[offset : offset + 2])
        place = offset + 2 + 12 * tags


@pytest.mark.parametrize("link", [2**32 - 2, 8, 300, 77])
def test_a_damaged_link_to_a_next_page_loses_no_picture_and_no_time(
    link: int, caplog: pytest.LogCaptureFixture
) -> None:
    content = bytearray(several((SMALL, FIRST), (RGB, LAST), (SMALL, FIRST)))
    last = links(content)[-1]
    content[last : last + 4] = struct.pack("<I", link)

    assert np.abs(read(bytes(content)) - RGB).mean() < 1.5
    assert not caplog.records
    assert logging.getLogger("tifffile").level != logging.CRITICAL + 1


def test_damaged_tags_beside_the_pixels_lose_no_picture() -> None:
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "TIFF", description="x" * 40, dpi=(72, 72), software="y" * 30)
    whole = stream.getvalue()
    (start,) = struct.unpack("<I", whole[4:8])
    (tags,) = struct.unpack("<H", whole[start : start + 2])
    entries = [start + 2 + 12 * index for index in range(tags)]
    beside = [entry for entry in entries if struct.unpack("<H", whole[entry : entry + 2])[0] in (270, 282, 283, 305)]
    random = np.random.default_rng(0)
    assert len(beside) == 4
    for entry in beside * 20:
        content = bytearray(whole)
        for _ in range(int(random.integers(1, 5))):
            content[entry + int(random.integers(2, 12))] = int(random.integers(256))
        assert np.abs(read(bytes(content)) - RGB).mean() < 1.5
