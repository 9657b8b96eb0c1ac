"""Colours mean what the embedded profile says: prepared pictures are in sRGB."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from morelli.preparation.picture_files import UnusableError
from morelli.preparation.pictures import read_rgb, shrink, shrunk_rgb

D50, D65 = (0.3457, 0.3585), (0.3127, 0.3290)
SRGB = ImageCms.createProfile("sRGB")
Image.init()  # so that Image.SAVE has every format
SPACES = {
    "Adobe RGB": ([(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)], D65, 2.2),
    "Display P3": ([(0.68, 0.32), (0.265, 0.69), (0.15, 0.06)], D65, 2.2),
    "ProPhoto": ([(0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)], D50, 1.8),
}
_Y, _X = np.mgrid[0:60, 0:80]
PIXELS = np.stack([40 + _X * 2, 60 + _Y * 2, 200 - _X - _Y], -1).astype(np.uint8)
RGB = Image.fromarray(PIXELS)
ALPHA = Image.fromarray((_X * 3).astype(np.uint8))


def profile_of(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile, version 2, of a display."""
    start, table, data = 128 + 4 + 12 * len(tags), b"", b""
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    body = struct.pack(">I", len(tags)) + table + data
    head = struct.pack(">I4sI4s4s4s12x4s", 128 + len(body), b"none", 0x02400000, b"mntr", space, b"XYZ ", b"acsp")
    return (head.ljust(68, b"\0") + numbers(0.9642, 1, 0.8249)).ljust(128, b"\0") + body


def numbers(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + numbers(*values)


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(gamma * 256))


COMMON = {
    b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"made\0" + bytes(79),
    b"cprt": b"text\0\0\0\0none\0",
    b"wtpt": xyz(0.9642, 1, 0.8249),
}


def rgb_profile(name: str) -> bytes:
    corners, white, gamma = SPACES[name]
    primaries = np.array([[x / y, 1, (1 - x - y) / y] for x, y in corners]).T
    target = np.array([white[0] / white[1], 1, (1 - sum(white)) / white[1]])
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    scales = (bradford @ [0.9642, 1, 0.8249]) / (bradford @ target)
    matrix = np.linalg.inv(bradford) @ np.diag(scales) @ bradford @ (primaries * np.linalg.solve(primaries, target))
    colourants = {name: xyz(*matrix[:, band]) for band, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    return profile_of(b"RGB ", COMMON | colourants | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(gamma)))


def grey_profile(gamma: float) -> bytes:
    return profile_of(b"GRAY", COMMON | {b"kTRC": curve(gamma)})


def cmyk_profile() -> bytes:
    """Simple inks: each takes all of one light, black takes all; a table of 2 points an ink, to Lab."""
    lab = ImageCms.buildTransform(SRGB, ImageCms.createProfile("LAB"), "RGB", "LAB")
    points = b""
    for c, m, y, k in np.ndindex(2, 2, 2, 2):
        colour = Image.new("RGB", (1, 1), tuple(255 * (1 - ink) * (1 - k) for ink in (c, m, y)))
        light, a, b = lab.apply(colour).tobytes()
        points += struct.pack(">HHH", light * 65280 // 255, a << 8, b << 8)
    flat = struct.pack(">HH", 0, 65535)
    table = b"mft2\0\0\0\0" + struct.pack(">BBBx", 4, 3, 2) + numbers(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += struct.pack(">HH", 2, 2) + flat * 4 + points + flat * 3
    body = profile_of(b"CMYK", COMMON | {b"A2B0": table})
    return body[:12] + b"prtrCMYKLab " + body[24:]


def encoded(image: Image.Image, format_: str, **options: object) -> io.BytesIO:
    stream = io.BytesIO()
    image.save(stream, format_, **options)
    stream.seek(0)
    return stream


def prepared(stream: io.BytesIO) -> np.ndarray:
    return np.asarray(read_rgb(stream, 60), dtype=float)


def in_space(profile: bytes) -> Image.Image:
    """The picture as its colours are written in another space."""
    into = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(RGB, SRGB, into, outputMode="RGB")
    assert converted is not None
    return converted


FORMATS = {
    "PNG": {},
    "TIFF": {},
    "WEBP": {"lossless": True},
    "JPEG": {"quality": 100, "subsampling": 0},
    **({"AVIF": {"quality": 100, "subsampling": "4:4:4"}} if "AVIF" in Image.SAVE else {}),
}


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("space", SPACES)
def test_wide_spaces_come_to_the_same_colours(space: str, format_: str) -> None:
    profile = rgb_profile(space)
    stored = in_space(profile)
    assert np.abs(np.asarray(stored, float) - PIXELS).mean() > 3

    pixels = prepared(encoded(stored, format_, icc_profile=profile, **FORMATS[format_]))

    assert np.abs(pixels - PIXELS).mean() < 1.5


def boxed(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def test_the_profile_in_a_jpeg_2000_header_is_found() -> None:
    profile = rgb_profile("ProPhoto")
    content = encoded(in_space(profile), "JPEG2000").getvalue()
    colours, header = content.index(b"colr") - 4, content.index(b"jp2h") - 4
    (colours_length,) = struct.unpack(">I", content[colours : colours + 4])
    (header_length,) = struct.unpack(">I", content[header : header + 4])
    inner = content[header + 8 : colours], content[colours + colours_length : header + header_length]
    with_profile = boxed(b"jp2h", inner[0] + boxed(b"colr", b"\2\0\0" + profile) + inner[1])
    content = content[:header] + with_profile + content[header + header_length :]

    assert np.abs(prepared(io.BytesIO(content)) - PIXELS).mean() < 1.5
    for cut in (header + 6, header + 30, header + 90):
        with pytest.raises(UnusableError):
            prepared(io.BytesIO(content[:cut]))


def test_palettes_and_transparency_keep_their_profile() -> None:
    profile = rgb_profile("ProPhoto")
    stored = in_space(profile)
    with_alpha = stored.copy()
    with_alpha.putalpha(ALPHA)
    opaque = np.asarray(ALPHA, float)[..., None] / 255

    pixels = prepared(encoded(with_alpha, "PNG", icc_profile=profile))
    indexed = prepared(encoded(stored.quantize(256), "PNG", icc_profile=profile))

    assert np.abs(pixels - (PIXELS * opaque + 255 * (1 - opaque))).mean() < 1.5
    assert np.abs(indexed - PIXELS).mean() < 4


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_greys_follow_their_curve(mode: str) -> None:
    linear = (_X * 255 // 79).astype(np.uint8)
    image = Image.fromarray(linear)
    if mode == "LA":
        image.putalpha(255)
    if mode == "I;16":
        image = Image.fromarray(linear.astype(np.uint16) * 257)

    pixels = prepared(encoded(image, "PNG", icc_profile=grey_profile(1.0)))

    light = linear / 255
    wanted = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(pixels - wanted[..., None]).mean() < 1.5


@pytest.mark.parametrize("format_", ["TIFF", "JPEG"])
def test_inks_follow_their_table(format_: str) -> None:
    inks = RGB.convert("CMYK")
    reference = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(cmyk_profile())), SRGB, "CMYK", "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    wanted = np.asarray(reference.apply(inks), float)
    assert np.abs(wanted - PIXELS).mean() > 5
    options = {"quality": 100, "subsampling": 0} if format_ == "JPEG" else {}

    pixels = prepared(encoded(inks, format_, icc_profile=cmyk_profile(), **options))

    assert np.abs(pixels - wanted).mean() < 1.5


def test_a_profile_of_srgb_changes_not_one_byte() -> None:
    profile = ImageCms.ImageCmsProfile(SRGB).tobytes()
    for mode in ("RGB", "RGBA"):
        image = RGB.convert(mode)
        with_profile = shrink(encoded(image, "PNG", icc_profile=profile), 40)
        assert with_profile.jpeg == shrink(encoded(image, "PNG"), 40).jpeg


@pytest.mark.parametrize(
    "profile",
    [
        b"no profile at all",
        b"",
        rgb_profile("ProPhoto")[:200],
        rgb_profile("ProPhoto")[:132] + bytes(1000),
        grey_profile(1.0),
        cmyk_profile(),
    ],
    ids=["text", "empty", "cut", "holes", "of grey", "of inks"],
)
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF"])
def test_a_broken_profile_or_one_of_other_colours_is_ignored(profile: bytes, format_: str) -> None:
    without = prepared(encoded(RGB, format_))

    assert (prepared(encoded(RGB, format_, icc_profile=profile)) == without).all()


def test_an_open_image_keeps_its_profile_and_is_left_as_it_was() -> None:
    profile = rgb_profile("ProPhoto")
    image = Image.open(encoded(in_space(profile), "PNG", icc_profile=profile))
    before = image.tobytes()

    pixels = np.asarray(shrunk_rgb(image, 60), float)

    assert np.abs(pixels - PIXELS).mean() < 1.5
    assert image.tobytes() == before
