"""Cached features as a training set: every row its own, and of several views each now and then."""

import torch

from morelli.training.feature_dataset import FeatureDataset


def test_rows_come_with_their_labels() -> None:
    features = torch.arange(12.0).view(4, 3)
    dataset = FeatureDataset(features, [5, 6, 7, 8])

    rows, labels = dataset.__getitems__([2, 0, 2])

    assert torch.equal(rows, features[[2, 0, 2]])
    assert labels.tolist() == [7, 5, 7]
    assert torch.equal(dataset[3][0], features[3])
    assert len(dataset) == 4


def test_of_several_views_one_is_drawn_for_each_painting() -> None:
    views = 3
    features = torch.arange(4.0)[:, None, None] + torch.arange(views)[None, :, None] / 10  # painting.view
    dataset = FeatureDataset(features, [0, 0, 1, 1])

    torch.manual_seed(1)
    rows, labels = dataset.__getitems__([0, 1, 2, 3] * 300)
    torch.manual_seed(1)
    again, _ = dataset.__getitems__([0, 1, 2, 3] * 300)

    assert torch.equal(rows, again)
    paintings, drawn = rows[:, 0].int(), (rows[:, 0] % 1 * 10).round().int()
    assert paintings.tolist() == [0, 1, 2, 3] * 300
    assert labels.tolist() == [0, 0, 1, 1] * 300
    share = drawn.bincount(minlength=views) / len(drawn)
    torch.testing.assert_close(share, torch.full((views,), 1 / views), atol=0.05, rtol=0)
    assert not torch.equal(drawn[0::4], drawn[1::4])  # each painting draws for itself
