"""``morelli submit`` and ``morelli score``."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from morelli.cli._options import AsCsv, tell


def submit(
    model: Annotated[str, Argument(help="A run folder, a packaged network, or OWNER/NAME on the model hub.")],
    data: Annotated[Path, Option(help="The prepared folder with the test pictures.")],
    pairs: Annotated[Path, Option(help="The list of pairs: submission_info.csv, or .csv.zip.")],
    out: Annotated[Path, Option(help="What to write: .csv or .csv.gz.")] = Path("submission.csv"),
    prior: Annotated[float, Option(help="Share of same-artist pairs, for the probabilities.")] = 0.0131,
) -> None:
    """Score every pair of the competition's list and write the submission.

    Example:

        morelli submit runs/mine --data prepared/painters --pairs downloads/submission_info.csv.zip
    """
    from morelli.competition.submit import submit as run_submit

    summary = run_submit(model, data, pairs, out, prior=prior, say=tell)
    how = f"all pairs within {summary.groups} groups" if summary.groups else "pairs in no whole groups"
    typer.echo(f"{out}: {summary.pairs:,} pairs of {summary.images:,} pictures ({how}).")


def score(
    submission: Annotated[Path, Argument(help="index,sameArtist as submitted; plain, zipped or gzipped.")],
    solution: Annotated[Path, Argument(help="index,sameArtist as they are: 1 for the same artist, else 0.")],
    data: Annotated[Path | None, Option(help="The prepared folder, to score by kind of pair too.")] = None,
    pairs: Annotated[
        Path | None, Option(help="submission_info.csv, needed with --data; by default the one beside a file.")
    ] = None,
    as_csv: AsCsv = False,
) -> None:
    """Score a submission: AUC over all pairs, and with --data by kind of pair.

    The kinds are: both artists seen, both unseen, mixed; by source of the pictures; negatives of the same style or
    genre.

    Example:

        morelli score submission.csv solution.csv --data prepared/painters --pairs submission_info.csv.zip
    """
    from morelli.competition.scoring import score_submission
    from morelli.data.prepared import read_paintings
    from morelli.errors import MorelliError

    if pairs and not data:
        raise MorelliError(
            "--pairs names pictures, and --data tells what they are: give --data too, or leave out both."
        )
    paintings = read_paintings(data) if data else None
    if data and pairs is None:
        beside = (
            file.with_name(f"submission_info.csv{end}") for file in (submission, solution) for end in (".zip", "")
        )
        pairs = next((path for path in beside if path.is_file()), None)
    frame = score_submission(submission, solution, paintings, pairs=pairs).frame()
    if as_csv:
        typer.echo(frame.to_csv(index=False), nl=False)
    else:
        # Without --data nothing is known of paintings and artists.
        typer.echo(frame.dropna(axis="columns", how="all").to_string(index=False, na_rep="-"))


COMMANDS = (submit, score)
