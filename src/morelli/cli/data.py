"""``morelli data``: getting paintings, preparing them, and looking at what is there."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from morelli._text import shown
from morelli.cli._options import AsJson, Command, Workers, tell

app = typer.Typer(no_args_is_help=True, help="Get paintings, prepare them, look at what is there.")

Out = Annotated[Path, Option(help="The prepared folder to write.")]


@app.command(cls=Command)
def prepare(
    source: Annotated[str, Argument(help="A folder, a zip archive, a table or an address; see above.")],
    out: Out,
    size: Annotated[int, Option(help="Pixels on the shorter side; smaller pictures stay as they are.")] = 256,
    only_artists: Annotated[
        list[str] | None, Option("--only-artists", metavar="NAME", help="Only this artist; repeatable.")
    ] = None,
    max_per_artist: Annotated[int | None, Option(help="At most so many paintings by each artist.")] = None,
    limit: Annotated[int | None, Option(help="At most so many paintings in all, artist by artist.")] = None,
    workers: Workers = None,
    layout: Annotated[
        str | None,
        Option("--layout", "--artist-from", help='Where paths name the artist, e.g. "{style}/{artist}_{title}".'),
    ] = None,
    artist_column: Annotated[str | None, Option(help="The table's column of artists; else found by its name.")] = None,
    path_column: Annotated[str | None, Option(help="Its column of paths or pictures; likewise.")] = None,
    title_column: Annotated[str | None, Option(help='Its column of titles; likewise, and "" for none.')] = None,
    date_column: Annotated[str | None, Option(help="Its column of dates; likewise.")] = None,
    style_column: Annotated[str | None, Option(help="Its column of styles; likewise.")] = None,
    genre_column: Annotated[str | None, Option(help="Its column of genres; likewise.")] = None,
    source_column: Annotated[str | None, Option(help="Its column of collections; likewise.")] = None,
    allow_hosts: Annotated[
        list[str] | None,
        Option("--allow-host", metavar="HOST", help="Fetch pictures from here besides a manifest's host; repeatable."),
    ] = None,
    source_name: Annotated[
        str | None, Option("--source", metavar="NAME", help="Where pictures come from that name no source.")
    ] = None,
    source_kind: Annotated[
        str | None,
        Option(
            metavar="KIND",
            help="competition, folders, table, parquet, iiif or package.module:Name of your own; else found by itself.",
            show_default=False,
        ),
    ] = None,
    keep_unattributed: Annotated[
        bool,
        Option(
            "--keep-unattributed",
            help='Keep artists called "unknown", "after …", "workshop of …", schools and the like.',
        ),
    ] = False,
) -> None:
    """Turn paintings into a prepared folder, which all other commands read.

    SOURCE is one of:

    - a folder with the competition's files, as downloaded (train.zip, test.zip, all_data_info.csv.zip, …) or unpacked;

    - a folder, or a zip archive, with one folder per artist, such as `paintings/Claude Monet/water-lilies.jpg`;
      folders above (a download's own, those of a split, styles) and artists in file names are found too, and said;

    - a CSV file with the columns `path` and `artist`, and if you like `title`, `style`, `genre`, `date`, `source`,
      in any case and under the usual names; paths are relative to the CSV;

    - a Parquet file, or a folder of them, with such columns, or with the pictures themselves, as `datasets` writes it;

    - a IIIF manifest or collection, a file or an address: its pictures are fetched in the size that is needed, a few
      at a time, from its own host and those that you allow.

    Archives are read without unpacking them. Every picture is read whole, so that a truncated one is found: it is
    repaired from replacements_for_corrupted_files.zip, or left out and listed in `left_out.csv`. Copies of one
    picture, be they smaller, saved again or mirrored, are kept, listed in `copies.csv`, and used once. An
    interrupted run goes on where it was; of a finished one, only pictures that are new or have changed are read.

    LAYOUT is a pattern for paths below SOURCE: `*` stands for anything in the name of a folder or file, `#` or
    `{number}` for a number, `**` at the end for files at any depth, `{artist}`, `{title}`, `{style}`, `{genre}`,
    `{date}`, `{year}` and `{source}` for what is kept.

    Examples:

        morelli data prepare downloads --out prepared/painters

        morelli data prepare my-paintings --out prepared/mine --size 320

        morelli data prepare wikiart --out prepared/wikiart --layout "{style}/{artist}_{title}"

        morelli data prepare museum.csv --out prepared/museum --artist-column Maker --date-column Dated

        morelli data prepare scans --out prepared/scans --artist-from "{artist}_{number}.jpg"

        morelli data prepare https://museum.example/iiif/collection.json --out prepared/museum --size 320

        morelli data prepare my-scans --out prepared/scans --source scans

        morelli data prepare list.json --out prepared/own --source-kind my_package.my_module:JsonSource

        morelli data prepare downloads --out prepared/small --only-artists "Claude Monet" --only-artists "Edgar Degas"
    """
    from morelli.cli._data_views import show_summary
    from morelli.preparation.prepare import prepare as run_prepare

    columns = {"title": title_column, "date": date_column, "style": style_column, "genre": genre_column}
    columns["source"] = source_column
    summary = run_prepare(
        source,
        out,
        size=size,
        only_artists=only_artists or (),
        max_per_artist=max_per_artist,
        limit=limit,
        workers=workers,
        layout=layout,
        artist_column=artist_column,
        path_column=path_column,
        columns={field: name for field, name in columns.items() if name is not None},
        source_name=source_name,
        keep_unattributed=keep_unattributed,
        source_kind=source_kind,
        allow_hosts=allow_hosts or (),
    )
    show_summary(summary, out)


@app.command(cls=Command)
def merge(folders: Annotated[list[Path], Argument(help="Two or more prepared folders.")], out: Out) -> None:
    """Join prepared folders into one, to train on several collections together.

    Names of artists are folded, the same file is taken once, near-copies are found, and the competition's groups are
    kept. Paintings that name no source get their folder's name as one: training then fills each batch from one source
    and standardises each by itself, so that it learns to tell painters apart, and not the makers of the pictures.

    Example:

        morelli data merge prepared/painters-mini prepared/painters-more --out prepared/both
    """
    from morelli.preparation.merge import merge as run_merge

    typer.echo(shown(run_merge(folders, out).text(out)))


@app.command(cls=Command)
def synthesize(
    out: Out,
    artists: Annotated[int, Option(help="Number of painters.")] = 60,
    paintings_per_artist: Annotated[int, Option(help="Paintings by each.")] = 20,
    size: Annotated[int, Option(help="Pixels on the shorter side.")] = 160,
    seed: Annotated[int, Option(help="Another seed makes other painters.")] = 0,
    workers: Workers = None,
) -> None:
    """Paint a prepared folder of synthetic painters, whom only the hand tells apart: no download, no account.

    Example:

        morelli data synthesize --out prepared/synthetic --artists 100
    """
    from morelli.synthetic.painters import SyntheticPainters

    painters = SyntheticPainters(artists=artists, paintings_per_artist=paintings_per_artist, size=size, seed=seed)
    painters.write(out, workers=workers)
    typer.echo(f"{artists * paintings_per_artist:,} paintings by {artists:,} artists are in {shown(str(out))}")


@app.command(cls=Command)
def info(
    folder: Annotated[Path, Argument(help="A prepared folder.")],
    as_json: AsJson = False,
    as_croissant: Annotated[
        bool, Option("--croissant", help="Print Croissant metadata (JSON-LD), by which others find and load it.")
    ] = False,
) -> None:
    """Say what is in a prepared folder: artists, paintings, sizes, repairs, and what was left out and why.

    Examples:

        morelli data info prepared/painters

        morelli data info prepared/painters --json | jq .artists

        morelli data info prepared/painters --croissant > prepared/painters/croissant.json
    """
    from morelli._json import json_text
    from morelli.cli._data_views import show_description
    from morelli.data.croissant import croissant
    from morelli.data.describe import describe

    if as_croissant or as_json:
        typer.echo(json_text(croissant(folder) if as_croissant else describe(folder)))
    else:
        show_description(describe(folder), folder)


@app.command(cls=Command)
def download(
    out: Annotated[Path, Option(help="Where the files go.")] = Path("downloads"),
    only: Annotated[
        list[str] | None, Option("--only", metavar="NAME", help="Only this file of the competition; repeatable.")
    ] = None,
) -> None:
    """Download the competition's files with the official client; run it again after a cut and it goes on.

    It needs a Kaggle account that has accepted the competition's rules.

    Examples:

        morelli data download --out downloads

        morelli data download --only all_data_info.csv.zip --only test.zip
    """
    from morelli.preparation.kaggle import download as run_download

    for path in run_download(out, only or ()):
        typer.echo(shown(str(path)))
    tell(f"Next: morelli data prepare {out} --out prepared/painters")
