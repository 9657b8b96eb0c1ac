"""Everyday layouts of downloaded collections: where the artist is told is found and said, or asked with the command."""

import itertools
import re
import shlex
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from morelli.data.prepared import read_paintings
from morelli.errors import MorelliError
from morelli.preparation.prepare import PrepareSummary, prepare

ARTISTS = ["Claude Monet", "Edgar Degas", "Berthe Morisot", "Paul Cezanne", "Rembrandt"]
SLUGS = [artist.lower().replace(" ", "-") for artist in ARTISTS]
STYLES = ["Baroque", "Ukiyo_e", "Cubism", "Pop_Art", "Post_Impressionism"]
_seeds = itertools.count()


def paint(path: Path) -> Path:
    """Write a small picture unlike all others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(next(_seeds)).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def lay(source: Path, names: Iterable[str]) -> Path:
    for name in names:
        paint(source / name)
    return source


def each(pattern: str, names: Sequence[str] = ARTISTS, count: int = 2) -> list[str]:
    return [
        pattern.format(a=name, s=style, i=i) for name, style in zip(names, STYLES, strict=False) for i in range(count)
    ]


def prepared_artists(out: Path) -> list[str]:
    return sorted(set(read_paintings(out)["artist"]))


def go(source: Path, out: Path, **options: object) -> PrepareSummary:
    return prepare(source, out, workers=1, size=20, **options)  # type: ignore[arg-type]


FOUND = {
    "a folder per artist": (each("{a}/{i}.jpg"), "{artist}/**"),
    "numbers for artists": (each("{i}/{a}.jpg", count=3), "{artist}/**"),
    "the download's own folders": (each("data/images/{a}/{i}.jpg"), "data/images/{artist}/**"),
    "a split": ([f"{part}/{name}" for part in ("training", "val") for name in each("{a}/{i}.jpg")], "*/{artist}/**"),
    "a split of one's own": ([f"{part}/{name}" for part in "ABC" for name in each("{a}/{i}.jpg")], "*/{artist}/**"),
    "the split below": (each("{a}/train/{i}.jpg") + each("{a}/test/{i}.jpg"), "{artist}/**"),
    "styles": (each("{s}/{a}/{i}.jpg"), "{style}/{artist}/**"),
    "genres": ([f"{kind}/{name}" for kind in ("portrait", "still life") for name in each("{a}/{i}.jpg")], None),
    "style and name": (each("wikiart/{s}/{a}_lilies-{i}.jpg", SLUGS), "wikiart/{style}/{artist}_{title}"),
    "letters": ([f"{name[0]}/{name}/{i}.jpg" for name in ARTISTS for i in (1, 2)], "*/{artist}/**"),
    "periods below": (each("{a}/1880s/{i}.jpg") + each("{a}/1890s/{i}.jpg"), "{artist}/**"),
    "museums": ([f"{place}/{name}" for place in ("moma", "met") for name in each("{a}/{i}.jpg")], "*/{artist}/**"),
    "names and numbers": (each("{a}_{i}.jpg"), "{artist}_#"),
    "names and titles": (each("{a}_some-title-{i}.jpg", SLUGS), "{artist}_{title}"),
    "a dash": (each("{a} - The sea {i}.jpg"), "{artist} - {title}"),
    "the title first": (each("The sea {i} {a} - {a}.jpg", count=3), "{title} - {artist}"),
    "as on Wikimedia Commons": (each("{a}_-_The_sea_{i}.jpg"), "{artist}_-_{title}"),
}


@pytest.mark.parametrize("what", FOUND)
def test_where_the_artist_is_told_is_found_and_said(what: str, tmp_path: Path) -> None:
    names, pattern = FOUND[what]
    summary = go(lay(tmp_path / "in", names), tmp_path / "out")

    assert summary.usable == len(names)
    expected = ["0", "1", "2"] if what == "numbers for artists" else sorted(ARTISTS)
    assert prepared_artists(tmp_path / "out") == expected
    assert summary.understood[0].startswith("Layout: ")
    assert pattern is None or f'"{pattern}"' in summary.understood[0]


def test_what_the_folders_and_names_tell_besides_is_kept(tmp_path: Path) -> None:
    go(lay(tmp_path / "in", each("{s}/{a}_lilies-{i}.jpg", SLUGS)), tmp_path / "out")

    paintings = read_paintings(tmp_path / "out").set_index("artist")
    assert set(paintings.loc["Claude Monet", "style"]) == {"Baroque"}
    assert set(paintings.loc["Claude Monet", "title"]) == {"lilies 0", "lilies 1"}


def test_names_of_files_as_wikiart_has_them(tmp_path: Path) -> None:
    names = {
        "Post_Impressionism/vincent-van-gogh_the-starry-night-1889.jpg": (
            "Vincent van Gogh",
            "the starry night",
            "1889",
        ),
        "Post_Impressionism/vincent-van-gogh_the-starry-night-1889(1).jpg": (
            *("Vincent van Gogh", "the starry night", "1889"),
        ),
        "High_Renaissance/leonardo-da-vinci_mona-lisa.jpg": ("Leonardo da Vinci", "mona lisa", ""),
        "High_Renaissance/leonardo-da-vinci_studies-2-1490.jpg": ("Leonardo da Vinci", "studies 2", "1490"),
        "Surrealism/m-c-escher_1938.jpg": ("M. C. Escher", "", "1938"),
        "Surrealism/m-c-escher_room-1200-of-us.jpg": ("M. C. Escher", "room 1200 of us", ""),
        "Cubism/georgia-o-keeffe_red-hills-1927.jpg": ("Georgia O'Keeffe", "red hills", "1927"),
        "Cubism/georgia-o-keeffe_sky-above.jpg": ("Georgia O'Keeffe", "sky above", ""),
        "Baroque/albrecht-dürer_wing-1512.jpg": ("Albrecht Dürer", "wing", "1512"),
        "Baroque/albrecht-dürer_owl-1508.jpg": ("Albrecht Dürer", "owl", "1508"),
    }
    summary = go(lay(tmp_path / "in", names), tmp_path / "out")

    paintings = read_paintings(tmp_path / "out")[["artist", "title", "date"]].fillna("")
    assert sorted(map(tuple, paintings.to_numpy())) == sorted(names.values())
    assert 'Layout: "{style}/{artist}_{title}"' in summary.understood[0]
    assert any(line.startswith("Names as WikiArt writes them") for line in summary.understood)


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("{artist}_{number}.jpg", ("Ada Onn", None, None)),
        ("{artist}_{number}", ("Ada Onn", None, None)),
        ("{artist}_{title}", ("Ada Onn", "1890", None)),
        ("{artist}_{year}.JPG", ("Ada Onn", None, "1890")),
    ],
)
def test_file_names_in_one_folder_tell_the_artist(pattern: str, told: tuple[str | None, ...], tmp_path: Path) -> None:
    lay(tmp_path / "in", ["Ada Onn_1890.jpg", "Ada Onn_1891.png", "Bela Lund_7.jpg", "notes.jpg"])

    go(tmp_path / "in", tmp_path / "out", layout=pattern)

    paintings = read_paintings(tmp_path / "out").set_index("file")
    rows = paintings[["artist", "title", "date"]].astype(object).where(lambda one: one.notna(), None)
    assert told in list(map(tuple, rows.to_numpy()))
    assert len(paintings) == (2 if "year" in pattern else 3)


ASKED = {
    "two folders of folders": [*each("France/{a}/{i}.jpg"), "Italy/Giovanni Segantini/1.jpg"],
    "styles that tell no artist": [f"{style}/{i}.jpg" for style in STYLES for i in range(2)],
    "a split that tells no artist": [f"{part}/{i}.jpg" for part in ("train", "test") for i in range(3)],
    "folders or names": [
        f"{place}/{name}" for place in ("Salon", "Kabinett") for name in each("{a}_sea-{i}.jpg", SLUGS)
    ],
    "two names of files": each("{a}_sea-{i}.jpg", SLUGS[:2]),
}


@pytest.mark.parametrize("what", ASKED)
def test_what_is_not_clear_is_asked_with_commands_that_work(what: str, tmp_path: Path) -> None:
    source, out = lay(tmp_path / "my pictures", ASKED[what]), tmp_path / "out"
    with pytest.raises(MorelliError) as asked:
        go(source, out)

    commands = [shlex.split(line) for line in str(asked.value).splitlines() if line.startswith("  morelli")]
    assert commands
    assert not out.exists()
    for number, command in enumerate(commands):
        assert command[:6] == ["morelli", "data", "prepare", str(source), "--out", str(out)]
        assert go(source, tmp_path / f"out {number}", layout=command[-1]).usable == len(ASKED[what])


def test_pictures_that_tell_no_artist_are_refused_with_the_layouts(tmp_path: Path) -> None:
    for names in (["IMG_0001.jpg", "IMG_0002.jpg", "IMG_0003.jpg"], [f"{i}.jpg" for i in range(5)]):
        source = lay(tmp_path / names[0], names)
        with pytest.raises(
            MorelliError, match=rf"{len(names)} pictures lie directly in it(.|\n)*one folder per artist"
        ):
            go(source, tmp_path / "out")


def test_a_layout_of_ones_own(tmp_path: Path) -> None:
    source = lay(tmp_path / "in", ["1880/x/Claude Monet (sea).jpg", "1890/y/Edgar Degas (bar).jpg", "notes.png"])

    summary = go(source, tmp_path / "out", layout="{date}/*/{artist} ({title})")

    told = read_paintings(tmp_path / "out")[["artist", "title", "date"]].to_numpy().tolist()
    assert sorted(told) == [["Claude Monet", "sea", "1880"], ["Edgar Degas", "bar", "1890"]]
    assert summary.skipped_files == 1
    assert any("notes.png" in line for line in summary.understood)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("{style}/*", "must name {artist}"),
        ("{artist}/{artist}", "once at most"),
        ("{artst}/**", 'Did you mean "artist"'),
        ("{artist}_{nr}.jpg", r"has \{nr\}; it may have .*\{year\}, \{number\}"),
        ("{artist}_{year}_{date}", "once at most"),
        ("x/{artist}/**", 'No picture in .* lies as the layout "x/{artist}/\\*\\*" says'),
    ],
)
def test_a_layout_that_is_wrong(layout: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match=message):
        go(lay(tmp_path / "in", each("{a}/{i}.jpg")), tmp_path / "out", layout=layout)


def test_a_tree_of_resized_copies_beside_is_left_aside(tmp_path: Path) -> None:
    source = lay(tmp_path / "in", each("images/images/{a}/{a}_{i}.jpg"))
    for picture in [*source.rglob("*.jpg")]:
        small = source / "resized_256" / "resized" / picture.name
        small.parent.mkdir(parents=True, exist_ok=True)
        small.write_bytes(picture.read_bytes())

    summary = go(source, tmp_path / "out")

    assert (summary.usable, prepared_artists(tmp_path / "out")) == (10, sorted(ARTISTS))
    assert "Left aside: 10 pictures in resized_256, copies of images." in summary.understood


def test_an_artist_of_such_a_name_is_no_copy(tmp_path: Path) -> None:
    names = each("{a}/{i}.jpg", ["Small", "Claude Monet", "Edgar Degas", "Large"])

    assert go(lay(tmp_path / "in", names), tmp_path / "out").usable == len(names)


@pytest.mark.parametrize("folder", ["@eaDir", ".thumbnails", "Thumbs", ".@__thumb"])
def test_folders_of_thumbnails_are_named_and_counted(folder: str, tmp_path: Path) -> None:
    source = lay(tmp_path / "in", each("{a}/{i}.jpg") + each("{a}/" + folder + "/{i}/small.jpg"))

    summary = go(source, tmp_path / "out")

    assert summary.usable == 10
    assert f"Passed over: 10 files in folders of thumbnails ({folder})." in summary.understood


def zipped(archive: Path, folder: Path) -> Path:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(folder.rglob("*.*")):
            opened.write(path, path.relative_to(folder))
    return archive


@pytest.mark.parametrize("layout", ["{a}/{i}.jpg", "images/{a}/{i}.jpg", "train/{a}/{i}.jpg", "{s}/{a}_sea-{i}.jpg"])
def test_an_archive_is_read_like_the_folder_in_it(layout: str, tmp_path: Path) -> None:
    folder = lay(tmp_path / "in", each(layout, SLUGS))
    archive = zipped(tmp_path / "download" / "images.zip", folder)

    alone = go(archive, tmp_path / "alone")
    beside = go(archive.parent, tmp_path / "beside")

    assert alone.usable == beside.usable == 10
    told = sorted(ARTISTS if "_sea" in layout else SLUGS)
    assert prepared_artists(tmp_path / "alone") == prepared_artists(tmp_path / "beside") == told
    assert {path.name for path in tmp_path.iterdir()} == {"in", "download", "alone", "beside"}


def test_an_archive_for_each_artist(tmp_path: Path) -> None:
    for artist in ARTISTS:
        zipped(tmp_path / "download" / f"{artist}.zip", lay(tmp_path / artist, ["1.jpg", f"{artist}/2.jpg"]))

    go(tmp_path / "download", tmp_path / "download" / "out")
    go(tmp_path / "download", tmp_path / "out")  # beside a prepared folder, whose table is no Parquet to read

    assert prepared_artists(tmp_path / "out") == sorted(ARTISTS)


def test_archives_that_cannot_be_used_are_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    source = lay(tmp_path / "in", each("{a}/{i}.jpg"))
    zipped(source / "Inner.zip", lay(tmp_path / "inner", ["Gustave Courbet/1.jpg"]))
    with zipfile.ZipFile(source / "Inner.zip", "a") as opened:
        opened.writestr("Gustave Courbet/more.zip", b"PK")
    (source / "cut.zip").write_bytes((source / "Inner.zip").read_bytes()[:-30])
    (source / "more.tar.gz").write_bytes(b"x")

    summary = go(source, tmp_path / "out")

    assert summary.usable == 11
    assert summary.left_out == {"an archive inside the source; unpack it": 2, "not a whole zip archive": 1}


def test_a_name_in_utf_8_that_does_not_say_so_is_read_as_it_was_meant(tmp_path: Path) -> None:
    lay(tmp_path / "in", each("{a}/{i}.jpg", ["Albrecht Durer"]))
    archive = zipped(tmp_path / "images.zip", tmp_path / "in")
    archive.write_bytes(archive.read_bytes().replace(b"Durer", "Dür".encode() + b"r"))

    go(archive, tmp_path / "out")

    assert prepared_artists(tmp_path / "out") == ["Albrecht Dürr"]


def test_an_archive_whose_names_are_parted_by_backslashes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for name in each("{a}\\{i}.png"):
            archive.writestr(name, paint(tmp_path / "any.png").read_bytes())
        archive.writestr("Claude Monet\\", b"")

    go(tmp_path / "images.zip", tmp_path / "out")

    assert prepared_artists(tmp_path / "out") == sorted(ARTISTS)


def test_a_prepared_folder_is_no_source(tmp_path: Path) -> None:
    go(lay(tmp_path / "in", each("{a}/{i}.jpg")), tmp_path / "out")

    with pytest.raises(MorelliError, match=r"is a prepared folder already"):
        go(tmp_path / "out", tmp_path / "again")


def test_a_folder_that_is_not_prepared_is_named_with_the_command_and_a_free_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lay(tmp_path / "my art", each("{a}/{i}.jpg"))
    (tmp_path / "prepared" / "my art").mkdir(parents=True)
    with pytest.raises(MorelliError, match="not a prepared folder") as error:
        read_paintings(Path("my art"))

    command = re.search(r"morelli data prepare .*", str(error.value))
    assert command is not None
    *_, source, _, out = shlex.split(command[0])
    assert (source, out) == ("my art", "prepared/my art-2")
    assert go(Path(source), Path(out)).usable == 10
