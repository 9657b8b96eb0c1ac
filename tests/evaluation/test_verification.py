"""Pair measures on plain score lists: against scikit-learn and naive loops."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from morelli.errors import MorelliError
from morelli.evaluation import verification as v

SCORES = st.lists(st.integers(0, 12).map(float), min_size=1, max_size=30).map(np.array)
laws = settings(max_examples=200, deadline=None)


def labelled(positives, negatives):
    return np.repeat([1, 0], [len(positives), len(negatives)]), np.concatenate([positives, negatives])


@given(SCORES, SCORES)
@laws
def test_pair_auc_equals_scikit_learns(positives, negatives):
    found = v.pair_auc(*v.exact_masses(positives, negatives))
    assert found == pytest.approx(roc_auc_score(*labelled(positives, negatives)), abs=1e-12)


@given(SCORES, SCORES)
@laws
def test_eer_and_recall_lie_on_scikit_learns_roc_curve(positives, negatives):
    false_accept, recall, _ = roc_curve(*labelled(positives, negatives), drop_intermediate=False)
    masses = v.exact_masses(positives, negatives)
    for rate in (0.1, 0.01, 0.25, 0.5):
        at = np.searchsorted(false_accept, rate, side="right") - 1
        share = 0 if at == len(recall) - 1 else (rate - false_accept[at]) / (false_accept[at + 1] - false_accept[at])
        wanted = recall[at] + (share * (recall[at + 1] - recall[at]) if share else 0)
        assert v.recall_at_false_accept(*masses, rate) == pytest.approx(wanted, abs=1e-12)
    assert v.eer(*masses) == pytest.approx(_crossing(false_accept, recall), abs=1e-12)


def _crossing(false_accept, recall):
    """Walk along the curve until false accepts are as frequent as false rejects."""
    for (x0, y0), (x1, y1) in itertools.pairwise(zip(false_accept, recall, strict=True)):
        if x1 + y1 >= 1:
            return x0 + (1 - x0 - y0) / (x1 + y1 - x0 - y0) * (x1 - x0)
    raise AssertionError("the curve ends at (1, 1)")


@given(SCORES, SCORES)
@laws
def test_the_best_threshold_is_the_best(positives, negatives):
    chosen = v.balanced_accuracy(positives, negatives, v.best_threshold(positives, negatives))
    everywhere = [v.balanced_accuracy(positives, negatives, t) for t in np.arange(-0.5, 12.5, 0.5)]
    assert chosen == pytest.approx(max(everywhere), abs=1e-12)


@given(SCORES, st.sampled_from([0.1, 0.3, 0.5]))
@laws
def test_a_threshold_for_an_error_rate_keeps_it_and_no_lower_one_does(negatives, rate):
    if int(rate * len(negatives)) < 1:
        with pytest.raises(MorelliError, match="needs at least"):
            v.threshold_at_false_accept(negatives, rate)
        return
    threshold = v.threshold_at_false_accept(negatives, rate)
    assert (negatives >= threshold).mean() <= rate
    lower = negatives[negatives < threshold].max(initial=-1.0)
    assert (negatives >= lower).mean() > rate


@given(SCORES, SCORES, st.integers(2, 40))
@laws
def test_coarse_bins_are_off_by_no_more_than_their_bound(positives, negatives, bins):
    edges = np.linspace(0, 13, bins + 1)
    masses = [np.histogram(scores, edges)[0] for scores in (positives, negatives)]
    exact = v.pair_auc(*v.exact_masses(positives, negatives))
    assert abs(v.pair_auc(*masses) - exact) <= v.auc_error_bound(*masses) + 1e-12


def test_many_resamples_are_measured_at_once():
    random = np.random.default_rng(0)
    masses = random.integers(0, 5, (2, 7, 30))
    for measure in (v.pair_auc, v.eer, lambda p, n: v.recall_at_false_accept(p, n, 0.1)):
        together = measure(*masses)
        assert together == pytest.approx([float(measure(p, n)) for p, n in zip(*masses, strict=True)])


@pytest.mark.parametrize(("sides", "message"), [(([], [1.0]), "same artist"), (([1.0], []), "different artists")])
def test_pairs_of_one_kind_are_refused(sides, message):
    with pytest.raises(MorelliError, match=message):
        v.best_threshold(*map(np.array, sides))
