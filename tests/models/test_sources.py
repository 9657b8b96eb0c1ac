"""Features of every source come to one mean and deviation; a source that is small or unknown stays as it is."""

import pandas as pd
import torch

from morelli.models.sources import FEWEST, SourceStatistics


def sample(counts: dict[str | None, int], views: int = 2) -> tuple[torch.Tensor, pd.Series]:
    random = torch.Generator().manual_seed(0)
    sources = pd.Series([name for name, count in counts.items() for _ in range(count)], dtype=object)
    shift = {name: (3.0 * place, 1.0 + place) for place, name in enumerate(counts)}
    rows = [
        torch.randn(views, 5, generator=random) * shift[name][1] + shift[name][0]
        for name in sources.where(sources.notna(), None)
    ]
    return torch.stack(rows), sources


def test_known_sources_come_to_the_mean_and_deviation_of_the_one_that_is_measured() -> None:
    features, sources = sample({"one": FEWEST, "other": 2 * FEWEST, "third": 2 * FEWEST})
    before = features.clone()
    learned = SourceStatistics.learn(features, sources, pd.Series(["one", "one", "other", None]))

    assert learned is not None
    assert learned.names == ("other", "third")
    aligned = learned.align(features, sources)
    is_reference = torch.tensor((sources == "one").to_numpy())
    assert torch.equal(aligned[is_reference], before[is_reference])
    reference = before[is_reference].flatten(0, 1)
    for name in learned.names:
        rows = aligned[torch.tensor((sources == name).to_numpy())].flatten(0, 1)
        torch.testing.assert_close(rows.mean(0), reference.mean(0), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(rows.std(0), reference.std(0), rtol=1e-4, atol=1e-4)


def test_the_largest_source_is_the_reference_where_another_one_is_measured() -> None:
    learned = SourceStatistics.learn(*sample({"one": FEWEST, "other": 2 * FEWEST}), pd.Series(["elsewhere"] * 5))
    assert learned is not None
    assert learned.names == ("one",)


def test_a_small_or_unknown_source_stays_as_it_is() -> None:
    features, sources = sample({"one": FEWEST, "other": FEWEST, "small": FEWEST - 1, None: 7})
    before = features.clone()
    learned = SourceStatistics.learn(features, sources, pd.Series(["one"]))

    assert learned is not None
    learned.align(features, sources)
    torch.testing.assert_close(features[2 * FEWEST :], before[2 * FEWEST :], rtol=0, atol=0)
    assert not torch.equal(features[FEWEST : 2 * FEWEST], before[FEWEST : 2 * FEWEST])


def test_one_large_source_changes_nothing() -> None:
    assert SourceStatistics.learn(*sample({"one": FEWEST, "small": 5, None: FEWEST}), pd.Series(["small"])) is None
