"""IIIF manifests and collections of both versions, from a local server: what is fetched, and what is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from iiif_server import IIIFServer

from morelli.data.prepared import read_left_out, read_paintings
from morelli.errors import MorelliError
from morelli.preparation import web
from morelli.preparation.prepare import PrepareSummary, prepare

SIDE = 32
"""Pixels asked for; the pictures have 64 on the shorter side."""


@pytest.fixture
def server(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IIIFServer]:
    """Serves six synthetic paintings as ``p0`` to ``p5``, two by each artist."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    paintings = read_paintings(prepared).groupby("artist").head(2).head(6)
    with IIIFServer({f"p{n}": prepared / file for n, file in enumerate(paintings["file"])}) as running:
        yield running


def offer(server: IIIFServer, version: int, count: int = 6, kind: str = "") -> str:
    """A collection with a manifest for each picture; its address."""
    for number in range(count):
        artist = f"Ada Onn {number // 2}"
        metadata = {"Artist": artist, "Date": f"18{number}0", "Style": "Realism", "Owner": "nobody"}
        canvas = server.canvas(f"p{number}", version, kind)
        server.manifest(f"/m{number}", version, [canvas], f"Work {number}", metadata)
    server.collection("/all", version, [f"/m{number}" for number in range(count)])
    return f"{server.url}/all"


def small(server: IIIFServer, name: str) -> str:
    """The path of a picture in the size that is needed."""
    width, height = server.size_of(name)
    return f"/image3/{name}/full/{round(width * SIDE / min(width, height))},/0/default.jpg"


def go(source: str | Path, out: Path, **options: Any) -> tuple[PrepareSummary, pd.DataFrame]:
    summary = prepare(source, out, **{"workers": 1, "size": SIDE, **options})
    return summary, read_paintings(out)


@pytest.mark.parametrize(
    ("version", "kind"), [(2, "image2"), (3, "image3"), (3, "image2"), (3, "fixed3")], ids=lambda one: str(one)
)
def test_a_collection_is_read_and_its_pictures_fetched_small(
    version: int, kind: str, server: IIIFServer, tmp_path: Path
) -> None:
    summary, paintings = go(offer(server, version, kind=kind), tmp_path / "out")

    assert (summary.usable, summary.artists, summary.left_out) == (6, 3, {})
    told = paintings[["artist", "title", "date", "style"]].to_numpy().tolist()
    assert told == [[f"Ada Onn {n // 2}", f"Work {n}", f"18{n}0", "Realism"] for n in range(6)]
    assert set(paintings[["width", "height"]].min(axis=1)) == {SIDE}
    assert set(paintings["status"]) == {"ok"}
    assert summary.understood[0] == "IIIF: 6 manifests with 6 pictures."
    assert summary.understood[1].startswith('Labels: artist from "Artist"; date from "Date"; style from "Style"')
    assert len(server.asked("/full/")) == 6
    assert not server.asked("/full/max")
    assert len(server.asked("/info.json")) == (6 if kind == "fixed3" else 0)


@pytest.mark.parametrize("version", [2, 3])
def test_a_file_is_read_and_what_is_done_is_not_fetched_again(version: int, server: IIIFServer, tmp_path: Path) -> None:
    canvases = [server.canvas(name, version) for name in ("p0", "p1", "p2")]
    manifest = server.manifest("/m", version, canvases, "Three works", {"Creator": "Ada Onn"})
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    server.failures["/image"] = [404, 404]

    first, _ = go(tmp_path / "manifest.json", tmp_path / "out", size=80)
    assert (first.usable, first.left_out) == (2, {"cannot be read": 1})
    assert read_left_out(tmp_path / "out")["reason"][0].endswith("/info.json answers with status 404)")
    server.requests.clear()
    second, paintings = go(tmp_path / "manifest.json", tmp_path / "out", size=80)

    assert (second.usable, second.added, second.left_out) == (3, 1, {})
    assert len(server.asked("/full/")) == 1
    assert set(paintings["title"]) == {"Three works"}
    assert go(tmp_path / "manifest.json", tmp_path / "out", size=80)[0].already_done


def test_metadata_in_several_languages(server: IIIFServer, tmp_path: Path) -> None:
    label = (("de", "Künstler"), ("en", "Artist"))
    value3 = {"de": ["Frau <b>Ada</b> Onn"], "en": ["Ada Onn &amp; Co"]}
    server.manifest("/3", 3, [server.canvas("p0", 3)], "Sea", {label: value3, "Titel": {"fr": ["La mer"]}})
    value2 = [{"@value": "Bela Lund", "@language": "en"}, {"@value": "Lund, B.", "@language": "hu"}]
    server.manifest("/2", 2, [server.canvas("p1", 2)], "Bar", {(("de", "Maler"),): value2, "date made": 1890})
    lines = {"Artist / Maker": "Cora Vik<br/>Norwegian, 1850–1900", "Title": "Hay,\nat  dusk"}
    server.manifest("/lines", 3, [server.canvas("p2", 3)], "", lines)
    server.collection("/all", 3, ["/3", "/2", "/lines"])

    _, paintings = go(f"{server.url}/all", tmp_path / "out")

    told = paintings[["artist", "title", "date"]].fillna("").to_numpy().tolist()
    assert told == [["Ada Onn & Co", "La mer", ""], ["Bela Lund", "Bar", "1890"], ["Cora Vik", "Hay, at dusk", ""]]


def test_the_label_of_the_artist_is_asked_for_and_can_be_named(server: IIIFServer, tmp_path: Path) -> None:
    server.manifest("/m", 3, [server.canvas("p0", 3)], "Sea", {"Hand": "Ada Onn", "Owner": "nobody"})
    with pytest.raises(MorelliError, match=r'no artist is named. .* are: "Hand", "Owner"\. .*--artist-column'):
        go(f"{server.url}/m", tmp_path / "out")

    assert set(go(f"{server.url}/m", tmp_path / "out", artist_column="hand")[1]["artist"]) == {"Ada Onn"}


def test_collections_that_loop_and_members_that_cannot_be_read(server: IIIFServer, tmp_path: Path) -> None:
    offer(server, 3, count=2)
    server.documents |= {"/page": b"<!DOCTYPE html><html>Sign in", "/other": {"type": "Person"}}
    server.collection("/inner", 2, ["/m0", "/outer", "/inner"])
    server.collection("/outer", 3, ["/inner", "/m0", "/m1", "/page", "/other", "/gone", "http://127.0.0.1:1/m"])

    summary, paintings = go(f"{server.url}/outer", tmp_path / "out")

    assert len(paintings) == 2
    assert summary.left_out == {"cannot be read": 4}
    reasons = " ".join(read_left_out(tmp_path / "out")["reason"])
    for part in (
        "/page is a web page",
        '/other is no IIIF manifest or collection (its type is "Person")',
        "/gone answers with status 404",
        "/m is on another host; if you trust it: --allow-host 127.0.0.1:1)",
    ):
        assert part in reasons
    assert "Read once: 3 manifests or collections that are listed again." in summary.understood
    assert len(server.asked("/outer")) == 1


def test_other_hosts_are_asked_only_where_that_is_allowed(server: IIIFServer, tmp_path: Path) -> None:
    with IIIFServer(server.pictures) as elsewhere:
        canvases = [server.canvas("p0", 3), elsewhere.canvas("p1", 3)]
        server.manifest("/m", 3, canvases, "Two", {"Artist": "Ada Onn"})
        summary, _ = go(f"{server.url}/m", tmp_path / "one")
        assert summary.left_out == {f"on another host; if you trust it: --allow-host {elsewhere.host}": 1}
        assert elsewhere.requests == []

        assert go(f"{server.url}/m", tmp_path / "two", allow_hosts=[elsewhere.host])[0].usable == 2
        assert go(f"{server.url}/m", tmp_path / "three", allow_hosts=[f"{elsewhere.url}/"])[0].usable == 2


def test_a_redirect_is_followed_on_the_host_and_refused_elsewhere(server: IIIFServer, tmp_path: Path) -> None:
    offer(server, 3, count=2)
    with IIIFServer(server.pictures) as elsewhere:
        first, second = small(server, "p0"), small(server, "p1")
        server.documents |= {
            first: f"{elsewhere.url}{first}",
            second: "/here",
            "/here": server.pictures["p1"].read_bytes(),
        }
        server.documents |= {"/moved": f"{server.url}/all", "/away": f"{elsewhere.url}/all", "/round": "/round"}

        _, paintings = go(f"{server.url}/moved", tmp_path / "out")

        assert paintings["title"].tolist() == ["Work 1"]
        [reason] = read_left_out(tmp_path / "out")["reason"]
        assert f"is redirected to a place on another host; if you trust it: --allow-host {elsewhere.host}" in reason
        with pytest.raises(MorelliError, match="/away is redirected to a place on another host"):
            go(f"{server.url}/away", tmp_path / "other")
        with pytest.raises(MorelliError, match="/round is redirected to a place again and again"):
            go(f"{server.url}/round", tmp_path / "other")
        assert elsewhere.requests == []


def test_a_busy_server_is_asked_again_when_it_said(server: IIIFServer, tmp_path: Path) -> None:
    offer(server, 3, count=1)
    server.failures = {"/all": [429], "/image3/p0": [503]}

    assert go(f"{server.url}/all", tmp_path / "out")[0].usable == 1

    for part in ("/all", "/full/"):
        first, again = (when for path, when in server.requests if part in path)
        assert again - first >= 1


def test_a_manifest_that_lies_about_sizes(server: IIIFServer, tmp_path: Path) -> None:
    said = {"p0": (6400, 6400), "p1": (16, 16)}
    canvases = [server.canvas(name, 3, size=size) for name, size in said.items()]
    canvases.append(server.canvas("p2", 3, size=(0, -5)))
    server.manifest("/m", 3, canvases, "Lies", {"Artist": "Ada Onn"})

    summary, paintings = go(f"{server.url}/m", tmp_path / "out", size=80)

    assert summary.usable == 3
    assert paintings["status"].tolist() == ["smaller than said", "ok", "ok"]
    assert paintings[["width", "height"]].min(axis=1).tolist() == [64, 64, 64]
    assert summary.understood[-1] == "Smaller than their source says: 1."
    assert len(server.asked("info.json")) == 2


def test_an_answer_that_is_too_large_is_not_read_to_its_end(
    server: IIIFServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(server, 3, count=2)
    server.documents["/image3/p0/info.json"] = b" " * 200_000
    server.documents[small(server, "p0")] = b"x" * 200_000
    monkeypatch.setattr(web, "MOST_BYTES", 100_000)

    summary, _ = go(f"{server.url}/all", tmp_path / "out")

    assert (summary.usable, summary.left_out) == (1, {"cannot be read": 1})
    assert "answers with more than 100,000 bytes" in read_left_out(tmp_path / "out")["reason"][0]


def test_a_web_page_in_place_of_a_picture_is_named(server: IIIFServer, tmp_path: Path) -> None:
    offer(server, 3, count=2)
    server.documents[small(server, "p0")] = b"<html>Not yours</html>"

    assert go(f"{server.url}/all", tmp_path / "out")[0].left_out == {"a web page, not the file itself": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html><html></html>", r"is a web page, not the file itself: it should be a IIIF manifest"),
        (b"{", "is no IIIF manifest, or a damaged one"),
        (b'{"type": "Canvas"}', 'is no IIIF manifest or collection .its type is "Canvas"'),
        (b"[" * 10_000, "is no IIIF manifest, or a damaged one"),
        (b'{"type": "Collection", "items": []}', "has no pictures"),
        (
            b'{"type": "Manifest", "metadata": {"label": "Artist", "value": "A"}, "sequences": {"canvases": '
            b'{"images": {"resource": {"@id": "x.jpg"}}}}}',
            r"1 rows cannot be used \(no address in the web\)",
        ),
        (b'{"type": "Manifest", "items": [{"type": "Canvas", "items": 3}, {"type": 5}]}', "no picture on the canvas"),
    ],
)
def test_what_is_no_manifest_is_one_sentence(content: bytes, message: str, server: IIIFServer, tmp_path: Path) -> None:
    server.documents["/m"] = content
    with pytest.raises(MorelliError, match=message) as error:
        go(f"{server.url}/m", tmp_path / "out")
    assert f"{server.url}/m" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_servers_that_do_not_answer(server: IIIFServer, tmp_path: Path) -> None:
    with pytest.raises(MorelliError, match=r"^http://127\S+/gone answers with status 404\. Mend that"):
        go(f"{server.url}/gone", tmp_path / "out")
    with pytest.raises(MorelliError, match=r"http://127\.0\.0\.1:1/m cannot be fetched: ConnectionError"):
        go("http://127.0.0.1:1/m", tmp_path / "out")


def test_a_host_that_does_not_answer_is_not_asked_for_ever(server: IIIFServer, tmp_path: Path) -> None:
    dead = "127.0.0.1:1"
    canvases = [server.canvas(f"p{number}", 3) for number in range(6)]
    text = json.dumps(server.manifest("/m", 3, canvases, "Six", {"Artist": "Ada Onn"}))
    (tmp_path / "manifest.json").write_text(text.replace(server.host, dead))
    with pytest.raises(MorelliError, match=r"Not one painting .*\n  6 cannot be read"):
        go(tmp_path / "manifest.json", tmp_path / "out")

    reasons = read_left_out(tmp_path / "out")["reason"]
    assert reasons.str.contains("cannot be fetched: ConnectionError").sum() == 3
    assert reasons.str.contains("was not asked for, as 3 before it had no answer").sum() == 3


def test_a_picture_for_choice_and_one_without_an_image_service(server: IIIFServer, tmp_path: Path) -> None:
    server.documents["/plain.jpg"] = server.pictures["p1"].read_bytes()
    choice = server.canvas("p0", 3)
    annotation = choice["items"][0]["items"][0]
    annotation["body"] = {"type": "Choice", "items": [annotation["body"], {"type": "Image", "id": "x"}]}
    plain = server.canvas("p1", 3)
    plain["items"][0]["items"][0]["body"] = {"type": "Image", "id": f"{server.url}/plain.jpg"}
    old = server.canvas("p3", 2)  # whose address looks like the other version's
    old["images"][0]["resource"]["service"]["@id"] = f"{server.url}/image/3/p3"
    server.manifest("/old", 2, [old], "Old", {"Artist": "Ada Onn"})
    video = server.canvas("p2", 3)
    video["items"][0]["items"][0]["body"]["type"] = "Video"
    server.manifest("/m", 3, [choice, plain, video], "Three", {"Artist": "Ada Onn"})

    summary, _ = go(f"{server.url}/m", tmp_path / "out")

    assert (summary.usable, summary.left_out) == (2, {"no picture on the canvas": 1})
    assert go(f"{server.url}/old", tmp_path / "old", size=200)[0].usable == 1
    assert server.asked("/full/full/")


@pytest.mark.parametrize(
    "trick", ["http://{other}\\@{own}/x", "http://{own}@{other}/x", "http://{other}#@{own}/", "//{other}/"]
)
def test_an_address_that_hides_its_host_is_refused(trick: str, server: IIIFServer, tmp_path: Path) -> None:
    with IIIFServer(server.pictures) as elsewhere:
        server.documents["/away"] = trick.format(own=server.host, other=elsewhere.host)
        server.collection("/all", 3, ["/away", server.documents["/away"]])
        with pytest.raises(MorelliError, match="has no pictures"):
            go(f"{server.url}/all", tmp_path / "out")
        assert elsewhere.requests == []


@pytest.mark.slow
def test_only_a_few_pictures_are_fetched_at_a_time(server: IIIFServer, tmp_path: Path) -> None:
    summary, _ = go(offer(server, 3), tmp_path / "out", workers=16)

    assert summary.usable == 6
    assert 1 <= server.most_at_once <= web.AT_ONCE
