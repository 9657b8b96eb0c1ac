"""Verification metrics (pair AUC, EER, recall at a false-accept rate) and thresholds: are two paintings by one hand?

The formulas work on *masses*: how many positives (same artist) and how many negatives (different artists) fall into
each of B bins of score, lowest first. With a bin for every distinct positive score and one for every gap between two
(:func:`exact_masses`) they are exact; with any other bins, positives and negatives of one bin count as tied.
All of them take (…, B) arrays and give (…) arrays, so the metrics without each artist are computed at once.
"""

import numpy as np

from morelli.errors import MorelliError

Array = np.ndarray


def exact_masses(positives: Array, negatives: Array) -> tuple[Array, Array]:
    """Count scores in the finest bins that matter: (P,) and (N,) scores → two (2·distinct positives + 1,) arrays."""
    levels, counts = np.unique(positives, return_counts=True)
    ordered = np.sort(negatives)
    bounds = np.stack([np.searchsorted(ordered, levels, "left"), np.searchsorted(ordered, levels, "right")], axis=1)
    negative = np.diff(bounds.ravel(), prepend=0, append=len(ordered))
    positive = np.zeros(len(negative), dtype=np.int64)
    positive[1::2] = counts
    return positive, negative


def pair_auc(positive: Array, negative: Array) -> Array:
    """P(a positive scores above a negative) + ½ P(they tie): the area under the ROC curve.

    Mann and Whitney 1947; equals scikit-learn's ``roc_auc_score``. NaN where a side is empty.
    """
    below = np.cumsum(negative, axis=-1) - negative / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        area: Array = (positive * below).sum(-1) / (positive.sum(-1) * negative.sum(-1).astype(float))
    return area


def auc_error_bound(positive: Array, negative: Array) -> float:
    """How far coarse bins can put :func:`pair_auc` off: half the share of (positive, negative) within one bin."""
    return float((positive * negative.astype(float)).sum() / positive.sum() / negative.sum() / 2)


def rejection(positive: Array, negative: Array) -> tuple[Array, Array]:
    """(…, B + 1) false reject and false accept rates as the threshold climbs past each bin."""
    edge = np.zeros((*positive.shape[:-1], 1))
    rejected, refused = (np.concatenate([edge, np.cumsum(x, axis=-1)], axis=-1) for x in (positive, negative))
    with np.errstate(invalid="ignore"):
        return rejected / rejected[..., -1:], (refused[..., -1:] - refused) / refused[..., -1:]


def _at_crossing(values: Array, rising: Array) -> Array:
    """Interpolate ``values`` where ``rising``, which climbs along the last axis from below 0, first reaches 0."""
    after = np.maximum((rising >= 0).argmax(-1), 1)[..., None]
    low, high = (np.take_along_axis(rising, at, -1) for at in (after - 1, after))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(high > low, -low / (high - low), 1.0)
    before, then = (np.take_along_axis(values, at, -1) for at in (after - 1, after))
    crossing: Array = (before + share * (then - before))[..., 0]
    return np.where(np.isnan(rising[..., -1]), np.nan, crossing)


def eer(positive: Array, negative: Array) -> Array:
    """Equal error rate: where false accepts are as frequent as false rejects, on the ROC curve drawn with lines."""
    false_reject, false_accept = rejection(positive, negative)
    return _at_crossing(false_reject, false_reject - false_accept)


def recall_at_false_accept(positive: Array, negative: Array, rate: float) -> Array:
    """Share of positives accepted at the threshold that accepts ``rate`` of the negatives, on the same ROC curve."""
    false_reject, false_accept = rejection(positive, negative)
    return 1 - _at_crossing(false_reject, rate - false_accept)


def balanced_accuracy(positives: Array, negatives: Array, threshold: float) -> float:
    """Mean of the shares of positives accepted (score ≥ threshold) and negatives rejected: chance is 0.5."""
    return float((np.mean(positives >= threshold) + np.mean(negatives < threshold)) / 2)


def best_threshold(positives: Array, negatives: Array) -> float:
    """The score that, as a threshold, gives these pairs their highest :func:`balanced_accuracy`; the lowest of equals.

    Raises a MorelliError where one kind of pair is missing.
    """
    refuse_one_class(len(positives), len(negatives))
    levels, counts = np.unique(positives, return_counts=True)
    recall = 1 - (np.cumsum(counts) - counts) / len(positives)
    specificity = np.searchsorted(np.sort(negatives), levels, "left") / len(negatives)
    return float(levels[np.argmax(recall + specificity)])


def threshold_at_false_accept(negatives: Array, rate: float) -> float:
    """The lowest threshold that accepts at most ``rate`` of these negatives (score ≥ threshold).

    Raises a MorelliError for negatives too few to see so rare an error.
    """
    allowed = int(rate * len(negatives))
    if allowed < 1:
        raise MorelliError(f"A false-accept rate of {rate} needs at least {int(np.ceil(1 / rate))} negative pairs.")
    return float(np.nextafter(np.sort(negatives)[-allowed - 1], np.float32(np.inf), dtype=np.float32))


def refuse_one_class(positives: int, negatives: int) -> None:
    """Raise a MorelliError where there are no positives or no negatives."""
    if not positives:
        raise MorelliError("There are no pairs by the same artist: at least one artist needs two paintings.")
    if not negatives:
        raise MorelliError("There are no pairs by different artists: at least two artists are needed.")
