"""``morelli compare``, ``index``, ``search``, ``enroll``, ``identify``, ``app``, ``export`` and ``push``."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from morelli.cli._options import DEFAULT, AsJson, Model, ModelFirst, model_first, tell

Index = Annotated[Path, Argument(help="An index, made with morelli index.")]
Prior = Annotated[float, Option(help="Share of such pairs that are by one hand, before one looks.")]
Cohort = Annotated[
    str | None,
    Option(help="What scores are normalised by: a folder of pictures like these or an index of it, training, or none."),
]
Moved = Annotated[Path | None, Option("--model", help="Where the index's model lies now, if it was moved.")]


def compare(
    a: Annotated[Path | None, Argument(help="A picture, or a folder of paintings by one hand.")] = None,
    b: Annotated[Path | None, Argument(help="Another.")] = None,
    third: ModelFirst = None,
    model: Model = DEFAULT,
    prior: Prior = 0.5,
    cohort: Cohort = "none",
    one_out: Annotated[
        Path | None, Option(help="Say instead which paintings of this folder fit the others least.")
    ] = None,
    explain: Annotated[Path | None, Option(help="Draw the regions that speak for the match; .png or .jpg.")] = None,
    html: Annotated[Path | None, Option(help="Write the answer as a page for print, with all to weigh it by.")] = None,
    as_json: AsJson = False,
) -> None:
    """Are two pictures, or two sets of paintings, by the same hand, and how sure is that?

    Examples:

        morelli compare one.jpg another.jpg

        morelli compare one.jpg another.jpg --cohort my-pictures.index

        morelli compare doubtful.jpg works-by-her/

        morelli compare --one-out works-by-her/

        morelli compare one.jpg another.jpg --html verdict.html

        morelli compare one.jpg another.jpg --model runs/mine --explain why.png
    """
    from morelli._files import check_output
    from morelli.errors import MorelliError
    from morelli.gallery.explain import SUFFIXES
    from morelli.gallery.painters import Painters

    if (one_out is None) != (a is not None and b is not None) or (one_out and (a or explain or html)):
        raise MorelliError("compare takes two pictures or folders, or --one-out and a folder.")
    if third and a and b:
        model, a, b = model_first("compare", a, b, third)
    if one_out:
        _print(Painters.load(model).outliers(one_out, cohort=cohort or "none"), as_json)
        return
    assert a is not None
    assert b is not None
    of_sets = a.is_dir() or b.is_dir()
    if of_sets and (explain or html):
        raise MorelliError("--explain and --html are for two pictures; they take no folder.")
    if explain:
        check_output(explain, *SUFFIXES, read=[a, b])
    if html:
        check_output(html, ".html", ".htm", read=[a, b])
    painters = Painters.load(model)
    if html:
        verdict = painters.verdict(a, b, prior=prior, cohort=cohort or "none")
        _print(verdict.comparison, as_json)
        verdict.write(html)
        tell(f"Page: {html}")
        if explain:
            verdict.explanation.save(explain)
            tell(f"Explanation: {explain}")
        return
    judge = painters.compare_sets if of_sets else painters.compare
    _print(judge(a, b, prior=prior, cohort=cohort or "none"), as_json)
    if explain:
        painters.explain(a, b).save(explain)
        tell(f"Explanation: {explain}")


def index(
    folder: Annotated[Path, Argument(help="Pictures, at any depth.", readable=False)],
    second: ModelFirst = None,
    model: Model = DEFAULT,
    out: Annotated[Path | None, Option(help="The index; by default beside FOLDER, as FOLDER.index.")] = None,
    ray: Annotated[
        str | None,
        Option(
            metavar="ADDRESS", help="Embed on a Ray cluster, HOST:PORT or local; FOLDER may be Parquet or a bucket."
        ),
    ] = None,
) -> None:
    """Make a folder of pictures searchable; run again, it reads only what is new or has changed.

    Examples:

        morelli index my-pictures

        morelli index my-pictures --model runs/mine --out mine.index

        morelli index s3://bucket/paintings --ray 10.0.0.1:6379 --out mine.index
    """
    from morelli.gallery.painters import Painters

    if second:
        model, folder = model_first("index", folder, second)
    typer.echo(Painters.load(model).index(folder, out, ray=ray).text())


def search(
    index: Index,
    image: Annotated[Path, Argument(help="A picture.")],
    k: Annotated[int, Option("-k", help="How many to find.")] = 12,
    html: Annotated[Path | None, Option(help="Write a page with the pictures found.")] = None,
    prior: Prior = 0.5,
    cohort: Cohort = None,
    as_json: AsJson = False,
    model: Moved = None,
) -> None:
    """Find what looks like a picture; copies of it are listed apart.

    Example:

        morelli search my-pictures.index one.jpg -k 20 --html found.html
    """
    from morelli.gallery.page import write_page
    from morelli.gallery.painters import Painters

    found = Painters.of_index(index, model).search(index, image, k, prior=prior, cohort=cohort)
    _print(found, as_json)
    if html:
        write_page(image, found, html)
        tell(f"Page: {html}")


def enroll(
    index: Index,
    folder: Annotated[Path | None, Argument(help="Some paintings by the artist, at any depth.")] = None,
    artist: Annotated[str | None, Option(help="The artist's name.")] = None,
    replace: Annotated[bool, Option("--replace", help="Enrol an artist anew who is enrolled already.")] = False,
    list_artists: Annotated[bool, Option("--list", help="Only say who is enrolled.")] = False,
    rename: Annotated[
        tuple[str, str] | None, Option(metavar="NAME NEW-NAME", help="Only give an enrolled artist another name.")
    ] = None,
    remove: Annotated[str | None, Option(metavar="NAME", help="Only take an artist out again.")] = None,
    model: Moved = None,
) -> None:
    """Add an artist from a few paintings, without training; or list, rename and remove those who are enrolled.

    Examples:

        morelli enroll my-pictures.index --artist "Berthe Morisot" berthe-morisot/

        morelli enroll my-pictures.index --rename "Bertha Morisot" "Berthe Morisot"
    """
    from morelli.errors import MorelliError

    asked = [list_artists, rename is not None, remove is not None, artist is not None or folder is not None]
    if sum(asked) != 1 or (asked[-1] and None in (artist, folder)):
        raise MorelliError(
            "enroll takes either --artist NAME and a folder of paintings, or one of: --list, "
            '--rename "NAME" "NEW NAME", --remove NAME.'
        )
    if artist is not None and folder is not None:
        from morelli.gallery.painters import Painters

        typer.echo(Painters.of_index(index, model).enroll(index, artist, folder, replace=replace).text())
        return
    from morelli.gallery import enrolled
    from morelli.gallery.index import PictureIndex

    found = PictureIndex.load(index)
    if rename:
        done = enrolled.rename(found, *rename)
        typer.echo(f"{rename[0]} is now called {done.artist}, with {done.paintings:,} paintings.")
    elif remove is not None:
        done = enrolled.remove(found, remove)
        typer.echo(f"{done.artist} was removed, with {done.paintings:,} paintings.")
    else:
        typer.echo(enrolled.render_enrolled(enrolled.enrolled(found)))


def identify(
    index: Index,
    image: Annotated[Path, Argument(help="A picture.")],
    prior: Annotated[float, Option(help="Share of pictures that are by one of the enrolled artists.")] = 0.5,
    cohort: Cohort = None,
    as_json: AsJson = False,
    model: Moved = None,
) -> None:
    """Whose hand is a picture by: an enrolled artist's, or none of theirs?

    Example:

        morelli identify my-pictures.index one.jpg
    """
    from morelli.gallery.painters import Painters

    _print(Painters.of_index(index, model).identify(index, image, prior=prior, cohort=cohort), as_json)


def app(
    index: Annotated[Path | None, Argument(help="An index, to search and browse; without one, only compare.")] = None,
    model: Annotated[
        str | None, Option(help="A network, as compare takes it; with an index, where its model lies now, if moved.")
    ] = None,
    port: Annotated[int, Option(min=1, max=65535, help="If it is taken, the next one that is free.")] = 8080,
    browser: Annotated[bool, Option("--open/--no-open", help="Open the page in the browser.")] = True,
) -> None:
    """Open a page in the browser to compare, search and browse with the mouse; Ctrl-C ends it.

    The page is served to this machine alone. Nothing leaves it. Needs the extra `app`.

    Examples:

        morelli app

        morelli app my-pictures.index
    """
    from morelli.gallery.app import serve
    from morelli.gallery.painters import Painters

    painters = Painters.of_index(index, model) if index else Painters.load(model or DEFAULT)
    with suppress(KeyboardInterrupt):  # the way to end it, of which the server may take notice itself: nothing to say
        serve(painters, index, port, browser=browser, say=tell)
    raise typer.Exit(130)


def export(
    onnx: Annotated[Path, Option(help="The .onnx file to write.")], first: ModelFirst = None, model: Model = DEFAULT
) -> None:
    """Write a network as ONNX, to be used without Python.

    Pictures in batches of any size go in, embeddings come out. How a picture is prepared, the threshold and the
    calibration stand beside it, in FILE.json. Needs the extra `export`.

    Examples:

        morelli export --onnx painters.onnx

        morelli export --model runs/mine --onnx mine.onnx
    """
    from morelli.gallery.painters import Painters

    if first:
        (model,) = model_first("export", first)
    typer.echo(Painters.load(model).export(onnx).text())


def push(
    model: Annotated[Path, Argument(help="A run folder, or its model/ folder.")],
    name: Annotated[str, Argument(help="OWNER/NAME on the model hub.")],
    public: Annotated[bool, Option("--public", help="A new one is for all to see, not for its owner only.")] = False,
) -> None:
    """Put a network on the model hub, with a card that says what it was made from and what it is worth.

    Log in first, with `hf auth login`. The artists' names and the paintings' digests that the network keeps go with it.

    Example:

        morelli push runs/mine my-name/my-hands
    """
    from morelli.gallery.hub import push as push_model

    typer.echo(push_model(model, name, public=public))


def _print(result: Any, as_json: bool) -> None:
    from morelli._json import json_text
    from morelli._text import shown

    typer.echo(json_text(result.to_dict()) if as_json else shown(result.text()))


COMMANDS = (compare, index, search, enroll, identify, app, export, push)
