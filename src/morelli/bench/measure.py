"""Measure a finished network on any prepared folder."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate import Accelerator
from torch import Tensor

from morelli._files import check_writable
from morelli.bench.run_folder import CONFIG, METRICS, SUBSETS, RunFolder, write_subset
from morelli.bench.text_tables import as_text, paragraph, with_interval
from morelli.data.artists import artist_key
from morelli.data.copies import count_copies, is_shared, paintings_and_copies, pictures_of, without_copies
from morelli.data.dataset import PaintersByNumbers
from morelli.errors import MorelliError
from morelli.evaluation.evaluate import evaluate, too_few
from morelli.evaluation.learning import calibration_of, in_other_ways
from morelli.evaluation.metrics import load_metrics
from morelli.models.heads import Scorer
from morelli.models.network import Network, embed_with, largest_shorter_side, short_digests

_DECISIONS = ("pair_auc", "precision_at_1", "brier", "ece", "cllr", "cllr_own_cohort", "pair_auc_own_cohort")
_COUNTED = ("artists", "paintings", "copies", "copy_pairs", "interval")


def evaluate_network(
    model: str | Path | Network,
    data: Path,
    *,
    metrics: Sequence[str] = (),
    out: Path | None = None,
    keep_copies: bool = False,
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
        cohort: gives the (C, D) embeddings of pictures like these, which scores are normalised by (``own_cohort``);
            by default the folder's own.
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
    notes = _notes(network, found, trained_on=int(is_known.sum()), copies=int((~is_new & ~is_known).sum()))
    if not is_new.any():
        raise MorelliError(f"{data} cannot be measured: the network was trained on every painting in it.")
    found = found[is_new]
    dataset = dataset.only(list((found if keep_copies else without_copies(found))["id"]))
    paintings = dataset.paintings
    is_seen = _is_one_of(paintings, network.card.training_artists)
    place = "in memory" if isinstance(model, Network) else str(model)
    measured: dict[str, Any] = {"model": place, "objective": network.card.objective, "notes": notes}
    measured["copies"] = asdict(count_copies(found))
    if own_metrics:
        measured["own_metrics"] = [metric.described() for metric in own_metrics]
    embeddings = embed_with(network, dataset, Accelerator().device)
    own_cohort = cohort(network) if cohort else embeddings
    for subset, is_in in (("seen", is_seen), ("unseen", ~is_seen)):
        chosen = is_in & (keep_copies | ~is_shared(paintings))
        rows = paintings[chosen].reset_index(drop=True)
        if reason := too_few(subset, rows):
            notes.append(reason)
            continue
        is_other = not _is_one_of(rows, network.card.validation_artists).any()  # else what was learned says nothing
        measured[subset], more = measure_subset(
            subset,
            embeddings[torch.tensor(chosen.to_numpy(copy=True))],
            rows,
            network.scorer,
            found,
            out,
            threshold=network.card.threshold,
            calibration=calibration_of(network.card) if is_other else None,
            **(in_other_ways(network, own_cohort, calibrated=is_other) if subset == "unseen" else {}),
            metrics=own_metrics,
        )
        notes += more
    if not set(SUBSETS) & measured.keys():
        raise MorelliError(f"{data} cannot be measured. " + " ".join(notes))
    notes += _copy_notes(measured, keep_copies=keep_copies)
    if out is not None:
        RunFolder(out).write(METRICS, measured)
    return measured


def measure_subset(
    subset: str,
    embeddings: Tensor,
    rows: pd.DataFrame,
    scorer: Scorer,
    paintings: pd.DataFrame,
    folder: Path | None,
    **how: Any,
) -> tuple[dict[str, Any], list[str]]:
    """Evaluate one subset and write its files; return what ``metrics.json`` holds of it, and notes.

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
    return {**result.metrics, **copies, "interval": result.intervals}, notes


def decisions(metrics: dict[str, Any]) -> dict[str, Any]:
    """What a user of the network must be told with every answer: how its decisions fared."""
    named = {name: value for name, value in metrics.items() if name in _DECISIONS or name.startswith("realised_")}
    counts = {name: metrics[name] for name in ("artists", "paintings")}
    return {**counts, **named, "interval": {name: metrics["interval"].get(name) for name in named}}


def _is_one_of(paintings: pd.DataFrame, artists: Sequence[str]) -> pd.Series:
    return paintings["artist"].map(artist_key).isin({artist_key(name) for name in artists})


def _notes(network: Network, paintings: pd.DataFrame, *, trained_on: int, copies: int) -> list[str]:
    chosen_on = paintings["artist"][_is_one_of(paintings, network.card.validation_artists)].nunique()
    size = largest_shorter_side(paintings)
    trained_size = network.card.prepared_size
    said = {
        f"{trained_on} paintings that the network was trained on are left out.": trained_on,
        f"{copies} copies of paintings that the network was trained on are left out, too.": copies,
        f"{chosen_on} of the unseen artists served to choose the best weights and the threshold.": chosen_on,
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
    names = [name for name in dict.fromkeys(itertools.chain(*found.values())) if name not in _COUNTED]
    shown = {subset: [with_interval(one, name) for name in names] for subset, one in found.items()}
    table = as_text(pd.DataFrame({"metric": names, **shown}), "", "rich", width, names=["metric"])
    notes = [paragraph(f"Note: {note}", width) for note in measured["notes"]]
    return "\n".join([*(paragraph(line, width) for line in about), table.rstrip("\n"), *notes, ""])
