"""Pictures of every kind reach the network as the same pixels, and what is no picture is named."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from morelli import MorelliError, Painters
from morelli.gallery import pictures as module
from morelli.gallery.pictures import open_picture, read_file
from morelli.preparation.picture_files import UnusableError


@pytest.fixture
def painting(pictures: Path) -> Path:
    return pictures / "artist-0" / "0.png"


def test_paths_images_and_arrays_give_the_same_embedding(painters: Painters, painting: Path) -> None:
    with Image.open(painting) as image:
        array = np.asarray(image.convert("RGB"))
        embeddings = painters.embed([str(painting), painting, image, array])
    assert embeddings.shape == (4, 8)
    assert embeddings.dtype == torch.float32
    for row in embeddings[1:]:
        torch.testing.assert_close(row, embeddings[0])


def test_one_picture_is_a_batch_of_one_and_batches_do_not_change_it(painters: Painters, pictures: Path) -> None:
    every = sorted(pictures.rglob("*.png")) * 3
    together = painters.embed(every)
    torch.testing.assert_close(together[20:21], painters.embed(every[20]), atol=1e-5, rtol=0)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(27))


def test_a_given_image_is_left_as_it_was(painters: Painters, painting: Path) -> None:
    large = Image.open(painting).convert("P").resize((700, 500))
    before = large.tobytes()
    painters.embed(large)
    assert (large.mode, large.size, large.tobytes()) == ("P", (700, 500), before)


def test_pictures_are_turned_upright_and_shrunk_to_the_trained_size(tmp_path: Path, painters: Painters) -> None:
    sideways = Image.new("RGB", (600, 300), "red")
    sideways.paste("blue", (0, 0, 300, 300))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    sideways.save(tmp_path / "phone.jpg", exif=exif)
    opened = open_picture(tmp_path / "phone.jpg", 64)
    assert opened.rgb.size == (opened.info.width, opened.info.height) == (64, 128)
    assert opened.rgb.getpixel((32, 5))[2] > 200  # what was left is now above
    assert painters.network.card.prepared_size == 64


def test_transparent_grey_and_deep_pictures_are_read(tmp_path: Path, painters: Painters) -> None:
    for mode in ("L", "RGBA", "LA", "P", "CMYK", "I;16", "1"):
        path = tmp_path / f"{mode.replace(';', '')}.tif"
        image = Image.new(mode, (40, 40))
        if mode.endswith("A"):
            image.putpixel((20, 20), (255,) * len(mode))  # what is wholly transparent shows nothing
        image.save(path)
        assert painters.embed(path).shape == (1, 8)


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.zeros((3, 40, 40), np.uint8), "shape (3, 40, 40)"),
        (np.zeros((40, 40), np.uint8), "shape (40, 40)"),
        (np.zeros((40, 40, 4), np.uint8), "shape (40, 40, 4)"),
        (np.zeros((2, 40, 40, 3), np.uint8), "as a list"),
        (np.zeros((40, 40, 3), np.float32), "float32"),
        (np.zeros((0, 40, 3), np.uint8), "cannot be used"),
    ],
)
def test_other_arrays_are_refused(painters: Painters, array: np.ndarray, why: str) -> None:
    with pytest.raises(MorelliError) as error:
        painters.embed([array])
    assert why in str(error.value)


def bad_files(folder: Path) -> dict[str, Path]:
    """One file of each kind that cannot be used, by the reason that is to be given."""
    picture = Image.effect_noise((64, 64), 80).convert("RGB")
    files = {
        "not a picture": folder / "text.jpg",
        "empty": folder / "empty.png",
        "too small (1 x 1": folder / "dot.png",
        "animated": folder / "moving.gif",
        "truncated": folder / "cut.jpg",
        "wholly transparent": folder / "nothing.png",
    }
    files["not a picture"].write_text("a letter")
    files["empty"].touch()
    Image.new("RGB", (1, 1)).save(files["too small (1 x 1"])
    picture.convert("P").save(files["animated"], save_all=True, append_images=[Image.new("P", (64, 64))], duration=99)
    Image.new("RGBA", (40, 40)).save(files["wholly transparent"])
    picture.save(files["truncated"])
    files["truncated"].write_bytes(files["truncated"].read_bytes()[:-300])
    return files


def test_what_cannot_be_used_is_named_with_the_reason(painters: Painters, tmp_path: Path) -> None:
    for reason, path in bad_files(tmp_path).items():
        with pytest.raises(MorelliError) as error:
            painters.embed(path)
        assert str(path) in str(error.value)
        assert reason in str(error.value)
    for missing, why in ((tmp_path / "none.jpg", "There is no picture"), (tmp_path, "is a folder")):
        with pytest.raises(MorelliError, match=why):
            painters.embed(missing)
    with pytest.raises(MorelliError, match="too small"):
        painters.embed(Image.new("RGB", (1, 1)))
    with pytest.raises(MorelliError, match="No picture"):
        painters.embed([])
    with pytest.raises(MorelliError, match="not <class 'int'>"):
        painters.embed([3])  # type: ignore[list-item]


def test_a_file_that_changes_while_it_is_read_is_noticed(painting: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(*_):
        os.utime(painting, ns=(0, 1))
        return Image.new("RGB", (32, 32))

    monkeypatch.setattr(module, "read_rgb", slowly)
    with pytest.raises(UnusableError, match="changed while it was read"):
        read_file(painting, "0.png", 64)
