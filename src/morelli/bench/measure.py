"""Measure a finished network on any prepared folder."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate import Accelerator
from torch import Tensor

from morelli._files import check_writable
from morelli.bench.columns import Cell
from morelli.bench.run_folder import CONFIG, METRICS, SUBSETS, RunFolder, write_subset
from morelli.bench.text_tables import as_text, paragraph, with_interval
from morelli.data.artists import artist_key
from morelli.data.copies import count_copies, is_shared, paintings_and_copies, pictures_of, without_copies
from morelli.data.dataset import PaintersByNumbers
from morelli.errors import MorelliError
from morelli.evaluation.evaluate import Evaluation, evaluate, too_few
from morelli.evaluation.learning import calibration_of, in_other_ways
from morelli.evaluation.metrics import Metric, load_metrics
from morelli.evaluation.shift import AS_THEY_ARE, Condition
from morelli.models.heads import Scorer
from morelli.models.network import Network, embed_with, largest_shorter_side, short_digests

_SHOWN_OF_SHIFT = (
    {"pair_auc": "pair AUC", "cllr": "Cllr"},
    {"realised_far_0.1": "FAR 0.1", "realised_far_0.01": "FAR 0.01"},
    {"pair_auc_own_cohort": "pair AUC, own cohort", "cllr_own_cohort": "Cllr, own cohort"},
    {"realised_far_0.1_own_cohort": "FAR 0.1, own cohort", "realised_far_0.01_own_cohort": "FAR 0.01, own cohort"},
)
"""The columns of the table of conditions, by metric; those of one group stay side by side."""
_DECISIONS = ("pair_auc", "precision_at_1", "brier", "ece", "cllr", "cllr_own_cohort", "pair_auc_own_cohort")
_COUNTED = ("artists", "paintings", "copies", "copy_pairs", "interval")


def evaluate_network(
    model: str | Path | Network,
    data: Path,
    *,
    metrics: Sequence[str] = (),
    out: Path | None = None,
    keep_copies: bool = False,
    never_seen: bool = False,
    conditions: Sequence[Condition] = (),
    cohort: Callable[[Network], Tensor] | None = None,
) -> dict[str, Any]:
    """Measure a finished network; artists in its training list are ``seen``, all others ``unseen``.

    Paintings that it was trained on are left out, since their scores would say nothing about new ones. So are copies
    in the folder: of paintings that it was trained on, and of others; see :mod:`morelli.data.copies`.

    Args:
        model: a network, or what :meth:`Network.load` takes.
        data: a prepared folder.
        metrics: dotted paths of metrics of your own, as in a recipe's ``evaluation.metrics``.
        keep_copies: measure copies of other paintings too.
        never_seen: leave out the artists that the network was trained on or validated on, so that its threshold and
            calibration can be measured.
        conditions: measure again under each of them, such as :data:`morelli.evaluation.shift.CONDITIONS`; what was
            found stands under ``shift`` by the condition's name, and then by subset.
        cohort: gives the (C, D) embeddings of pictures like these, which scores are normalised by (``own_cohort``);
            by default those that are measured.
        out: a folder for ``metrics.json`` and the files of :func:`morelli.bench.run_folder.write_subset`.

    Returns:
        The metrics of each subset that has enough paintings, its intervals, and ``notes`` on what was left out.

    Raises:
        MorelliError: no model, no prepared folder, ``out`` is a run's own folder, or neither subset can be measured.
    """
    if out is not None:
        if (out / CONFIG).exists():
            raise MorelliError(f"{out} is a run's folder, whose own numbers would be lost. Choose another --out.")
        check_writable(out / METRICS)
    own_metrics = load_metrics(metrics)
    network = model if isinstance(model, Network) else Network.load(model)
    dataset = PaintersByNumbers(data, transform=network.backbone.transform())
    found = paintings_and_copies(data)
    is_known = pd.Series(short_digests(found), found.index).isin(network.card.training_paintings)
    is_new = ~is_known if keep_copies else ~is_known.groupby(pictures_of(found)).transform("any")
    left_out = {"trained_on": int(is_known.sum()), "copies": int((~is_new & ~is_known).sum())}
    notes = _notes(network, found, never_seen=never_seen, **left_out)
    if not is_new.any():
        raise MorelliError(f"{data} cannot be measured: the network was trained on every painting in it.")
    found = found[is_new]
    paintings = found if keep_copies else without_copies(found)
    rows = _rows(network, paintings if keep_copies else paintings[~is_shared(paintings)], never_seen=never_seen)
    place = "in memory" if isinstance(model, Network) else str(model)
    measured: dict[str, Any] = {"model": place, "objective": network.card.objective, "notes": notes}
    measured["copies"] = asdict(count_copies(found))
    if own_metrics:
        measured["own_metrics"] = [metric.described() for metric in own_metrics]
    reasons = {subset: too_few(subset, chosen) for subset, chosen in rows.items()}
    notes += filter(None, reasons.values())
    rows = {subset: chosen for subset, chosen in rows.items() if reasons[subset] is None}
    if not rows:
        raise MorelliError(f"{data} cannot be measured. " + " ".join(notes))
    measure = partial(_subsets, network, dataset, rows, found, notes, own_metrics, cohort and cohort(network))
    measured |= measure(out)
    for one in conditions:
        measured.setdefault("shift", {})[one.name] = measure(None, one)
    notes += _copy_notes(measured, keep_copies=keep_copies)
    if out is not None:
        RunFolder(out).write(METRICS, measured)
    return measured


def _rows(network: Network, paintings: pd.DataFrame, *, never_seen: bool) -> dict[str, pd.DataFrame]:
    """The rows of each subset that is to be measured."""
    is_seen = is_one_of(paintings, network.card.training_artists)
    subsets = {"seen": is_seen, "unseen": ~is_seen}
    if never_seen:
        subsets = {"unseen": ~is_seen & ~is_one_of(paintings, network.card.validation_artists)}
    return {subset: paintings[is_in].reset_index(drop=True) for subset, is_in in subsets.items()}


def _subsets(
    network: Network,
    dataset: PaintersByNumbers,
    rows: dict[str, pd.DataFrame],
    paintings: pd.DataFrame,
    notes: list[str],
    metrics: Sequence[Metric],
    cohort: Tensor | None,
    folder: Path | None,
    condition: Condition | None = None,
) -> dict[str, Any]:
    """Embed the subsets' pictures, under a condition or as they are, and measure each; ``notes`` are added to."""
    shown = dataset.only([one for chosen in rows.values() for one in chosen["id"]])
    embeddings = embed_with(network, shown, Accelerator().device, condition.change if condition else None)
    measured = {}
    for (subset, chosen), own in zip(rows.items(), torch.split(embeddings, list(map(len, rows.values()))), strict=True):
        is_other = not is_one_of(chosen, network.card.validation_artists).any()  # else what was learned says nothing
        own_cohort = embeddings if cohort is None else cohort
        measured[subset], more, _ = measure_subset(
            subset,
            own,
            chosen,
            network.scorer,
            paintings,
            folder,
            threshold=network.card.threshold,
            calibration=calibration_of(network.card) if is_other else None,
            **(in_other_ways(network, own_cohort, calibrated=is_other) if subset == "unseen" else {}),
            metrics=metrics,
        )
        notes += [one for one in more if one not in notes]
    return measured


def measure_subset(
    subset: str,
    embeddings: Tensor,
    rows: pd.DataFrame,
    scorer: Scorer,
    paintings: pd.DataFrame,
    folder: Path | None,
    **how: Any,
) -> tuple[dict[str, Any], list[str], Evaluation]:
    """Evaluate one subset and write its files; return what ``metrics.json`` holds of it, notes, and all that was found.

    Args:
        subset: its name.
        embeddings: (N, D).
        rows: the N paintings.
        scorer: of the network.
        paintings: the whole folder's, of which copies are counted.
        folder: for the files of :func:`morelli.bench.run_folder.write_subset`; None for none.
        how: further arguments of :func:`morelli.evaluation.evaluate.evaluate`.
    """
    result = evaluate(embeddings, rows, scorer, **how)
    if folder is not None:
        write_subset(folder, subset, result)
    copies = count_copies(paintings, rows["id"]).of_side()
    notes = [f"{subset.capitalize()} artists: {note}" for note in result.notes]
    return {**result.metrics, **copies, "interval": result.intervals}, notes, result


def decisions(metrics: dict[str, Any]) -> dict[str, Any]:
    """What a user of the network must be told with every answer: how its decisions fared."""
    named = {name: value for name, value in metrics.items() if name in _DECISIONS or name.startswith("realised_")}
    counts = {name: metrics[name] for name in ("artists", "paintings")}
    return {**counts, **named, "interval": {name: metrics["interval"].get(name) for name in named}}


def is_one_of(paintings: pd.DataFrame, artists: Sequence[str]) -> pd.Series:
    """Whether each painting is by one of some artists, names folded."""
    return paintings["artist"].map(artist_key).isin({artist_key(name) for name in artists})


def _notes(network: Network, paintings: pd.DataFrame, *, never_seen: bool, trained_on: int, copies: int) -> list[str]:
    known = (*network.card.training_artists, *network.card.validation_artists)
    known_artists = paintings["artist"][is_one_of(paintings, known)].nunique()
    chosen_on = paintings["artist"][is_one_of(paintings, network.card.validation_artists)].nunique()
    size = largest_shorter_side(paintings)
    trained_size = network.card.prepared_size
    said = {
        f"{trained_on} paintings that the network was trained on are left out.": trained_on,
        f"{copies} copies of paintings that the network was trained on are left out, too.": copies,
        f"{chosen_on} of the unseen artists served to choose the best weights and the threshold; --never-seen leaves "
        "them out.": chosen_on and not never_seen,
        f"{known_artists} artists that it was trained on or validated on are left out.": known_artists and never_seen,
        f"The network was trained on pictures of {trained_size} px, these have {size} px.": trained_size
        not in (None, size),
    }
    return [note for note, is_so in said.items() if is_so]


def _copy_notes(measured: dict[str, Any], *, keep_copies: bool) -> list[str]:
    copies, pairs = (
        sum(measured.get(subset, {}).get(key, 0) for subset in SUBSETS) for key in ("copies", "copy_pairs")
    )
    shared = measured["copies"]["shared"]
    done = "counted" if keep_copies else "left out"
    said = {
        f"{copies} copies of measured paintings are {done}, and {pairs} pairs of copies.": copies,
        f"{shared} pictures stand under several artists and are {done}.": shared,
    }
    return [note for note, is_so in said.items() if is_so]


def render_evaluation(measured: dict[str, Any], *, width: int | None = None) -> str:
    """Return the result of :func:`evaluate_network` as a table for a terminal of so many columns, or for a pipe."""
    found = {subset: measured[subset] for subset in SUBSETS if subset in measured}
    about = [f"{measured['objective']} ({measured['model']})"]
    about += [
        f"{name.capitalize()}: {one['artists']} artists, {one['paintings']} paintings." for name, one in found.items()
    ]
    if "shift" in measured:
        about.append("FAR: pairs by two hands above the network's own threshold for that rate, realised.")
        table = _shift_table({AS_THEY_ARE: found, **measured["shift"]}, width)
    else:
        names = [name for name in dict.fromkeys(itertools.chain(*found.values())) if name not in _COUNTED]
        shown = {subset: [with_interval(one, name) for name in names] for subset, one in found.items()}
        table = as_text(pd.DataFrame({"metric": names, **shown}), "", "rich", width, names=["metric"])
    notes = [paragraph(f"Note: {note}", width) for note in measured["notes"]]
    return "\n".join([*(paragraph(line, width) for line in about), table.rstrip("\n"), *notes, ""])


def _shift_table(by_condition: dict[str, dict[str, Any]], width: int | None) -> str:
    """A row a condition: what shows whether the ranking, and whether the calibration held."""
    cells, units = {"pictures": list(by_condition)}, []
    for subset, group in itertools.product(by_condition[AS_THEY_ARE], _SHOWN_OF_SHIFT):
        if not any(name in one[subset] for one in by_condition.values() for name in group):
            continue
        units.append([f"{subset}\n{heading}" for heading in group.values()])
        for name, heading in zip(group, units[-1], strict=True):
            cells[heading] = [_cell(one[subset], name) for one in by_condition.values()]
    return as_text(pd.DataFrame(cells), "", "rich", width, names=["pictures"], units=units)


def _cell(metrics: dict[str, Any], name: str) -> str:
    if (value := metrics.get(name)) is None:
        return "-"
    return Cell(f"{value:.3f}", value, metrics["interval"].get(name)).with_interval
