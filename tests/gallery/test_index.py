"""An index holds what is in the folder, reads nothing twice, and says what it left out."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from morelli import MorelliError, Painters
from morelli.gallery import reader
from morelli.gallery.index import PictureIndex


def names(index: Path) -> list[str]:
    return list(PictureIndex.load(index).pictures.pictures["file"])


def later(path: Path) -> None:
    """Make sure that a change is seen: clocks of file systems can be slow."""
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))


def test_it_holds_every_picture_at_any_depth(painters: Painters, pictures: Path) -> None:
    (pictures / "notes.txt").write_text("not a picture")
    done = painters.index(pictures)
    assert done.path == pictures.with_name("pictures.index")
    assert (done.pictures, done.embedded, done.unchanged, done.dropped, done.other_files) == (9, 9, 0, 0, 1)
    index = PictureIndex.load(done.path)
    assert names(done.path) == sorted(str(path.relative_to(pictures)) for path in pictures.rglob("*.png"))
    torch.testing.assert_close(
        index.pictures.embeddings, painters.embed([pictures / name for name in names(done.path)]), atol=1e-5, rtol=0
    )
    assert (index.folder, index.fingerprint) == (pictures, painters.fingerprint)


def test_only_new_and_changed_pictures_are_read_again(
    painters: Painters, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = painters.index(pictures).path
    read: list[str] = []
    original = reader.read_file
    monkeypatch.setattr(reader, "read_file", lambda *given: read.append(given[1]) or original(*given))
    assert painters.index(pictures).embedded == 0
    assert read == []

    shutil.copy(pictures / "artist-0" / "0.png", pictures / "new.png")
    (pictures / "artist-1" / "0.png").unlink()
    changed = pictures / "artist-2" / "0.png"
    Image.open(changed).rotate(90).save(changed)
    later(changed)
    done = painters.index(pictures)
    assert sorted(read) == ["artist-2/0.png", "new.png"]
    assert (done.pictures, done.embedded, done.unchanged, done.dropped) == (9, 2, 7, 1)
    assert done.copies == [["artist-0/0.png", "new.png"]]
    assert names(index) == sorted(str(path.relative_to(pictures)) for path in pictures.rglob("*.png"))
    fresh = painters.index(pictures, index.with_name("fresh"))
    again, anew = (PictureIndex.load(path).pictures for path in (index, fresh.path))
    assert again.pictures.equals(anew.pictures)
    torch.testing.assert_close(again.embeddings, anew.embeddings, atol=1e-5, rtol=0)


def test_what_cannot_be_used_is_listed_with_its_reason(painters: Painters, pictures: Path) -> None:
    (pictures / "text.jpg").write_text("a letter")
    (pictures / "empty.png").touch()
    Image.new("RGB", (1, 1)).save(pictures / "dot.png")
    frames = [Image.effect_noise((64, 64), spread) for spread in (20, 90)]
    frames[0].save(pictures / "moving.gif", save_all=True, append_images=frames[1:], duration=50)
    outside = pictures.parent / "outside.png"
    Image.new("RGB", (64, 64)).save(outside)
    (pictures / "link.png").symlink_to(outside)
    (pictures / "loop").symlink_to(pictures)
    done = painters.index(pictures)
    assert done.pictures == 9
    reasons = dict(done.left_out)
    assert reasons.keys() == {"text.jpg", "empty.png", "dot.png", "moving.gif", "link.png"}
    assert reasons["link.png"].startswith("a link")
    assert reasons["moving.gif"] == "animated"
    for file, reason in done.left_out:
        assert f"{file}: {reason}" in done.text()


def test_a_picture_that_changes_meanwhile_is_left_for_next_time(
    painters: Painters, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from morelli.gallery import pictures as module

    original = module.read_rgb

    def while_another_writes(stream, size):
        if stream.name.endswith("artist-0/0.png"):
            later(pictures / "artist-0" / "0.png")
        return original(stream, size)

    with monkeypatch.context() as patch:
        patch.setattr(module, "read_rgb", while_another_writes)
        done = painters.index(pictures)
    assert done.left_out == [("artist-0/0.png", "changed while it was read")]
    assert painters.index(pictures).embedded == 1
    assert painters.index(pictures).pictures == 9


def test_copies_are_flagged(painters: Painters, pictures: Path) -> None:
    original = pictures / "artist-0" / "0.png"
    shutil.copy(original, pictures / "twin.png")
    with Image.open(original) as image:
        image.resize((70, 70)).convert("RGB").save(pictures / "smaller.jpg", quality=80)
    done = painters.index(pictures)
    assert done.copies == [["artist-0/0.png", "smaller.jpg", "twin.png"]]
    assert "artist-0/0.png = smaller.jpg = twin.png" in done.text()
    table = PictureIndex.load(done.path).pictures.pictures.set_index("file")["copy_of"]
    assert table.dropna().to_dict() == dict.fromkeys(done.copies[0], "artist-0/0.png")


def test_what_was_done_is_kept_when_it_is_interrupted(painters: Painters, pictures: Path) -> None:
    for copy in range(3):
        shutil.copytree(pictures / "artist-0", pictures / f"more-{copy}")
    batches = []

    def impatient(*call):
        batches.append(call)
        if len(batches) > 1:
            raise KeyboardInterrupt

    hook = painters.network.head.register_forward_hook(impatient)
    with pytest.raises(KeyboardInterrupt):
        painters.index(pictures)
    hook.remove()
    done = painters.index(pictures)
    assert (done.unchanged, done.pictures) == (8, 18)
    assert {path.name for path in done.path.iterdir()} - {".lock"} == {"pictures.parquet"}


def test_another_models_index_is_refused(painters: Painters, other_model: Path, pictures: Path) -> None:
    index = painters.index(pictures).path
    other = Painters.load(other_model)
    for use in (lambda: other.index(pictures), lambda: other.search(index, pictures / "artist-0" / "0.png")):
        with pytest.raises(MorelliError, match="made by another model"):
            use()
    with pytest.raises(MorelliError, match="made by another model"):
        Painters.of_index(index, other_model)
    assert Painters.of_index(index).fingerprint == painters.fingerprint


def test_places_that_are_no_folder_of_pictures(painters: Painters, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match="no folder"):
        painters.index(tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").touch()
    with pytest.raises(MorelliError, match="holds no pictures"):
        painters.index(empty)
    (empty / "text.jpg").write_text("a letter")
    with pytest.raises(MorelliError, match=r"text.jpg: not a picture"):
        painters.index(empty)
    assert not (tmp_path / "empty.index").exists()
    with pytest.raises(MorelliError, match="is no index"):
        painters.index(pictures, empty)
    with pytest.raises(MorelliError, match="is no index"):
        PictureIndex.load(pictures)
    with pytest.raises(MorelliError, match="Not a directory"):
        painters.index(pictures, empty / "notes.txt")
    index = painters.index(pictures).path
    (index / ".DS_Store").touch()
    assert painters.index(pictures, index).unchanged == 9
    shutil.copytree(pictures, tmp_path / "second")
    with pytest.raises(MorelliError, match="is an index of"):
        painters.index(tmp_path / "second", index)
    shutil.rmtree(pictures)
    (tmp_path / "second").rename(tmp_path / "moved")
    assert painters.index(tmp_path / "moved", index).pictures == 9


def test_a_model_that_moved_is_found_where_it_is_said_to_be(model: Path, pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "here")
    index = Painters.load(tmp_path / "here").index(pictures).path
    (tmp_path / "here").rename(tmp_path / "there")
    with pytest.raises(MorelliError, match="--model"):
        Painters.of_index(index)
    assert Painters.of_index(index, tmp_path / "there").model == tmp_path / "there"
