"""Every kind of picture becomes a small RGB JPEG that looks like the original, or is left out for a reason."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageCms, ImageFile

from morelli.data.prepared import read_paintings
from morelli.preparation.prepare import prepare

HEIGHT, WIDTH = 300, 400
_Y, _X = np.mgrid[0:HEIGHT, 0:WIDTH]
GREY = _X / WIDTH * 255
PIXELS = np.stack([GREY, _Y / HEIGHT * 255, (_X + _Y) / (WIDTH + HEIGHT) * 255], -1).astype(np.uint8)
LEFT_HALF_HIDDEN = np.where(_X < WIDTH // 2, 0, 255).astype(np.uint8)
SIXTEEN_BITS = (_X / WIDTH * 65535).astype(np.uint16)


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_, **options)
    return stream.getvalue()


def prepare_all(folder: Path, originals: dict[str, bytes], size: int = 75) -> dict[str, np.ndarray | str]:
    """Prepare many pictures at once and return each one's pixels, or the reason for which it was left out."""
    files = {f"A/{index:03d}.jpg": name for index, name in enumerate(originals)}
    for file, name in files.items():
        path = folder / "source" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(originals[name])
    prepare(folder / "source", folder / "out", size=size, workers=1)
    left_out = pd.read_csv(folder / "out" / "left_out.csv")
    assert (left_out["artist"] == "A").all()
    found: dict[str, np.ndarray | str] = {files[row.file]: row.reason for row in left_out.itertuples()}
    for row in read_paintings(folder / "out").itertuples():
        with Image.open(folder / "out" / row.file) as picture:
            assert picture.format == "JPEG"
            assert picture.mode == "RGB"
            assert picture.size == (row.width, row.height)
            found[files[f"A/{row.id.partition('-')[0]}.jpg"]] = np.asarray(picture, dtype=float)
    assert found.keys() == originals.keys()
    return found


GOOD = {"good": encoded(Image.fromarray(PIXELS), "PNG")}


def averaged(pixels: np.ndarray) -> np.ndarray:
    """The naive way to shrink by four: the mean of every block of 4 x 4 pixels, three channels."""
    if pixels.ndim == 2:
        pixels = np.stack([pixels] * 3, -1)
    return pixels.astype(float).reshape(HEIGHT // 4, 4, WIDTH // 4, 4, 3).mean(axis=(1, 3))


def on_white(pixels: np.ndarray) -> np.ndarray:
    alpha = LEFT_HALF_HIDDEN / 255
    return (
        pixels * (alpha[..., None] if pixels.ndim == 3 else alpha)
        + 255 * (1 - alpha)[(..., None) if pixels.ndim == 3 else ...]
    )


def tiff(bands: list[np.ndarray], *, extra: list[int], photometric: int) -> bytes:
    """Write an interleaved TIFF with any number of 8-bit bands, which Pillow can read but not write."""
    count, data = len(bands), np.stack(bands, -1).astype(np.uint8).tobytes()
    tags = {256: (4, [WIDTH]), 257: (4, [HEIGHT]), 258: (3, [8] * count), 259: (3, [1]), 262: (3, [photometric])}
    tags |= {273: (4, [0]), 277: (3, [count]), 278: (4, [HEIGHT]), 279: (4, [len(data)]), 338: (3, extra)}
    after = 8 + 2 + 12 * len(tags) + 4
    longer = b"".join(struct.pack(f"<{len(v)}H", *v) for t, (k, v) in tags.items() if k == 3 and len(v) > 2)
    tags[273] = (4, [after + len(longer)])
    entries, offset = b"", after
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}{'HI'[kind == 4]}", *values)
        if len(packed) > 4:
            packed, offset = struct.pack("<I", offset), offset + len(packed)
        entries += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + longer + data


RGB = Image.fromarray(PIXELS)
RGBA = Image.fromarray(np.dstack([PIXELS, LEFT_HALF_HIDDEN]))
LUMA = np.asarray(RGB.convert("L"))
CMYK_BANDS = [255 - PIXELS[..., 0], 255 - PIXELS[..., 1], 255 - PIXELS[..., 2], np.zeros_like(LUMA)]
RGB_BANDS = [PIXELS[..., 0], PIXELS[..., 1], PIXELS[..., 2]]
LAB = ImageCms.profileToProfile(RGB, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB")

KINDS = {
    "JPEG": (encoded(RGB, "JPEG", quality=95), PIXELS),
    "progressive JPEG": (encoded(RGB, "JPEG", quality=95, progressive=True), PIXELS),
    "grey JPEG": (encoded(RGB.convert("L"), "JPEG", quality=95), LUMA),
    "CMYK JPEG, inverted as Adobe does": (encoded(RGB.convert("CMYK"), "JPEG", quality=95), PIXELS),
    "JPEG with damaged EXIF": (encoded(RGB, "JPEG", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff"), PIXELS),
    "palette PNG": (encoded(RGB.quantize(256), "PNG"), PIXELS),
    "palette PNG with transparent colours": (
        encoded(Image.fromarray((_X < WIDTH // 2).astype(np.uint8) * 200).convert("P"), "PNG", transparency=200),
        np.where(_X < WIDTH // 2, 255, 0),
    ),
    "PNG of single bits": (encoded(Image.fromarray(_X >= WIDTH // 2), "PNG"), np.where(_X < WIDTH // 2, 0, 255)),
    "PNG with alpha": (encoded(RGBA, "PNG"), on_white(PIXELS)),
    "grey PNG with alpha": (encoded(RGBA.convert("LA"), "PNG"), on_white(LUMA)),
    "16-bit PNG": (encoded(Image.fromarray(SIXTEEN_BITS), "PNG"), GREY),
    "16-bit TIFF": (encoded(Image.fromarray(SIXTEEN_BITS), "TIFF"), GREY),
    "32-bit TIFF": (encoded(Image.fromarray(SIXTEEN_BITS.astype(np.int32)), "TIFF"), GREY),
    "float TIFF up to 1": (encoded(Image.fromarray((SIXTEEN_BITS / 65535).astype(np.float32)), "TIFF"), GREY),
    "float TIFF up to 255": (encoded(Image.fromarray(GREY.astype(np.float32)), "TIFF"), GREY),
    "CMYK TIFF": (encoded(RGB.convert("CMYK"), "TIFF"), PIXELS),
    "LAB TIFF": (encoded(LAB, "TIFF"), PIXELS),
    "TIFF with one more channel": (tiff([*RGB_BANDS, LUMA], extra=[0], photometric=2), PIXELS),
    "TIFF with two more channels": (tiff([*RGB_BANDS, LUMA, LUMA], extra=[0, 0], photometric=2), PIXELS),
    "TIFF with three more channels": (tiff([*RGB_BANDS, LUMA, LUMA, LUMA], extra=[0, 0, 0], photometric=2), PIXELS),
    "TIFF of CMYK and one more": (tiff([*CMYK_BANDS, LUMA], extra=[0], photometric=5), PIXELS),
    "TIFF of grey and one more": (tiff([LUMA, LUMA], extra=[0], photometric=1), LUMA),
    "WebP with alpha": (encoded(RGBA, "WEBP", lossless=True), on_white(PIXELS)),
    "GIF": (encoded(RGB, "GIF"), PIXELS),
    "BMP": (encoded(RGB, "BMP"), PIXELS),
    "JPEG 2000": (encoded(RGB, "JPEG2000"), PIXELS),
}


@pytest.fixture(scope="module")
def prepared_kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return prepare_all(tmp_path_factory.mktemp("kinds"), {kind: data for kind, (data, _) in KINDS.items()})


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_picture_looks_like_its_original(kind: str, prepared_kinds: dict[str, Any]) -> None:
    difference = np.abs(prepared_kinds[kind] - averaged(KINDS[kind][1]))

    assert np.median(difference) < 3
    assert difference.mean() < 4


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_is_turned_upright(format_: str, tmp_path: Path) -> None:
    flips = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.swapaxes(0, 1)}
    flips |= {6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: np.rot90}
    originals = {}
    for orientation in flips:
        tags = Image.Exif()
        tags[0x0112] = orientation
        originals[str(orientation)] = encoded(RGB, format_, exif=tags)

    turned = prepare_all(tmp_path, originals)

    for orientation, flip in flips.items():
        upright = flip(averaged(PIXELS))
        assert turned[str(orientation)].shape == upright.shape
        assert np.abs(turned[str(orientation)] - upright).mean() < 3


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_the_shorter_side_shrinks_to_the_size_and_never_grows(format_: str, tmp_path: Path) -> None:
    shrunk = {
        (400, 300): (85, 64),
        (300, 400): (64, 85),
        (4001, 2999): (85, 64),
        (1000, 63): (1000, 63),
        (64, 64): (64, 64),
        (16, 20): (16, 20),
        (3000, 65): (2954, 64),
    }
    originals = {str(size): encoded(Image.new("RGB", size, "teal"), format_) for size in shrunk}

    prepared = prepare_all(tmp_path, originals, size=64)

    assert {name: pixels.shape for name, pixels in prepared.items()} == {
        str(size): (height, width, 3) for size, (width, height) in shrunk.items()
    }


def test_reduced_decoding_is_close_to_decoding_in_full(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 25, (1533, 2043, 3))
    smooth = np.kron(PIXELS[::6, ::6], np.ones((31, 31, 1), np.uint8))[:1533, :2043]
    painting = Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))
    full = np.asarray(painting.resize((256, 192), Image.Resampling.LANCZOS), dtype=float)

    pixels = prepare_all(tmp_path, {"one": encoded(painting, "JPEG", quality=95)}, size=192)["one"]

    error = np.sqrt(((pixels - full) ** 2).mean())
    assert 20 * np.log10(255 / error) > 30


def test_a_truncated_picture_is_found(tmp_path: Path) -> None:
    large = RGB.resize((3200, 2400))
    whole = {f"{format_}": encoded(RGB, format_) for format_ in ("JPEG", "PNG", "TIFF", "BMP")}
    whole |= {"large JPEG": encoded(large, "JPEG"), "progressive": encoded(large, "JPEG", progressive=True)}
    cut = {f"{k}, {kept}": data[: int(kept * len(data))] for k, data in whole.items() for kept in (0.1, 0.5, 0.99)}
    for kind in ("JPEG", "large JPEG", "progressive"):
        cut |= {f"{kind}, without the last {missing}": whole[kind][:-missing] for missing in (1, 2, 3, 100)}

    prepared = prepare_all(tmp_path, cut | GOOD)

    assert prepared.pop("good").shape == (75, 100, 3)
    assert prepared == dict.fromkeys(cut, "truncated")


def test_truncation_is_found_in_a_process_that_loads_truncated_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    whole = encoded(RGB, "JPEG")

    assert prepare_all(tmp_path, GOOD | {"cut": whole[: len(whole) // 2]})["cut"] == "truncated"
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def test_what_is_no_picture_is_left_out(tmp_path: Path) -> None:
    others = {
        "empty": b"",
        "text": b"no picture at all",
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    }

    prepared = prepare_all(tmp_path, GOOD | others)

    assert {prepared[name] for name in others} == {"not a picture that can be read"}


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF", "GIF"])
def test_what_shows_nothing_is_left_out(format_: str, tmp_path: Path) -> None:
    nothing = Image.new("P", (40, 40)) if format_ == "GIF" else Image.new("RGBA", (40, 40), (200, 10, 10, 0))
    options = {"transparency": 0} if format_ == "GIF" else {}
    originals = {
        "transparent": encoded(nothing, format_, **options),
        "pixel": encoded(Image.new("RGB", (1, 1)), format_),
        "icon": encoded(Image.new("RGB", (15, 300)), format_),
    }

    prepared = prepare_all(tmp_path, GOOD | originals)

    assert prepared["transparent"] == "wholly transparent"
    assert prepared["pixel"] == "too small (1 x 1 pixels; it takes 16 a side)"
    assert prepared["icon"] == "too small (15 x 300 pixels; it takes 16 a side)"


def blank_png(width: int, height: int) -> bytes:
    """A valid PNG of single bits, all black, made without holding its pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + -(-width // 8)) * height), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_picture_is_used_up_to_200_megapixels_without_a_warning_and_the_process_keeps_its_own_limit(
    tmp_path: Path,
) -> None:
    before = Image.MAX_IMAGE_PIXELS
    sizes = {"300 MP": (20_000, 15_000), "99 MP": (11_000, 9_000), "frieze": (70_000, 20)}

    prepared = prepare_all(tmp_path, {name: blank_png(*size) for name, size in sizes.items()})

    assert prepared["300 MP"] == "more than 200 megapixels (300 MP)"
    assert prepared["frieze"] == "too long for a JPEG (70000 x 20)"
    assert prepared["99 MP"].shape == (75, 92, 3)
    assert before == Image.MAX_IMAGE_PIXELS


def test_several_workers_take_turns_at_large_pictures_that_cannot_be_reduced(tmp_path: Path) -> None:
    (tmp_path / "source" / "A").mkdir(parents=True)
    for index in range(4):
        (tmp_path / "source" / "A" / f"{index}.png").write_bytes(blank_png(8000, 6500 + index))

    assert prepare(tmp_path / "source", tmp_path / "out", workers=2).usable == 4


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory where Linux tells it")
@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_a_jpeg_of_107_megapixels_needs_little_memory(mode: str, tmp_path: Path) -> None:
    make = f"from PIL import Image; Image.new({mode!r}, (10350, 10350), 77).save('vast.jpg')"
    subprocess.run([sys.executable, "-c", make], cwd=tmp_path, check=True)
    shrink = (
        "from morelli.preparation.pictures import shrink; print(shrink(open('vast.jpg', 'rb'), 256).width);"
        "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])"
    )
    answer = subprocess.run([sys.executable, "-c", shrink], cwd=tmp_path, check=True, capture_output=True, text=True)

    width, kilobytes = map(int, answer.stdout.split())
    assert width == 256
    assert kilobytes < 100_000


def test_nothing_of_the_original_but_its_pixels_is_kept(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x010E] = "a private remark"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    prepare_all(tmp_path, {"one": encoded(RGB, "JPEG", comment=b"another", exif=tags, icc_profile=profile)})

    with Image.open(tmp_path / "out" / read_paintings(tmp_path / "out")["file"][0]) as picture:
        assert not {"exif", "comment", "icc_profile"} & set(picture.info)


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, place = [], 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return chunks


def png_of(chunks: list[tuple[bytes, bytes]], damaged: int | None = None) -> bytes:
    """Write chunks, one of them with a wrong checksum."""
    data = b"\x89PNG\r\n\x1a\n"
    for index, (kind, body) in enumerate(chunks):
        checksum = zlib.crc32(kind + body) ^ (index == damaged)
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)
    return data


def test_a_png_whose_pixels_are_whole_is_used_whatever_is_written_beside_them(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 3
    plain = png_chunks(encoded(RGB, "PNG"))
    turned = png_chunks(encoded(RGB, "PNG", exif=tags))
    where = next(index for index, (kind, _) in enumerate(turned) if kind == b"eXIf")
    vast = zlib.compress(bytes(70_000_000))
    beside = {
        "history": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"<li>an earlier version</li>" * 80_000)),
        "vast history": (b"zTXt", b"history\0\0" + vast),
        "large profile": (b"iCCP", b"profile\0\0" + zlib.compress(bytes(3_000_000))),
        "vast profile": (b"iCCP", b"profile\0\0" + vast),
        "profile packed in an unknown way": (b"iCCP", b"profile\0\7" + zlib.compress(b"colours")),
        "size cut": (b"pHYs", b"\0\0"),
        "gamma cut": (b"gAMA", b"\0"),
        "chromaticities cut": (b"cHRM", b"\0" * 5),
        "time of nothing": (b"tIME", b""),
        "history, damaged": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0not packed"),
        "unknown": (b"prVt", b"\0" * 9),
        "animation of no frames": (b"acTL", b"\0" * 3),
    }
    originals = {
        f"{name}, {place}": png_of([*plain[:at], chunk, *plain[at:]])
        for name, chunk in beside.items()
        for place, at in (("before", 1), ("after", len(plain) - 1))
    }
    originals["checksum before"] = png_of([plain[0], (b"tEXt", b"Comment\0hello"), *plain[1:]], damaged=1)
    originals["checksum after"] = png_of([*plain[:-1], (b"tEXt", b"Comment\0hello"), plain[-1]], damaged=len(plain) - 1)
    originals["no end"] = png_of(plain[:-1])

    prepared = prepare_all(tmp_path, originals | {"turned": png_of([turned[0], (b"pHYs", b""), *turned[1:]])})
    again = prepare_all(tmp_path / "again", {"damaged direction": png_of(turned, damaged=where)})

    upside_down = averaged(PIXELS)[::-1, ::-1]
    assert np.abs(prepared.pop("turned") - upside_down).mean() < 3  # which way is up is not lost with the rest
    for name, pixels in (prepared | again).items():
        assert not isinstance(pixels, str), (name, pixels)
        assert np.abs(pixels - averaged(PIXELS)).mean() < 3, name


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "WEBP", "GIF"])
def test_no_damage_to_a_picture_stops_the_run(format_: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    whole = encoded(RGB.resize((80, 60)), format_)
    damaged = {}
    for index in range(60):
        data = bytearray(whole)
        start = int(random.integers(len(data) if index % 2 else 200))
        data[start : start + 40] = random.bytes(int(random.integers(1, 41)))
        damaged[str(index)] = bytes(data)

    prepared = prepare_all(tmp_path, GOOD | damaged)

    assert any(isinstance(reason, str) for reason in prepared.values())
