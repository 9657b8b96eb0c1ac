"""Features of frozen backbones pass the backbone once, whatever is interrupted, repeated or damaged."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from morelli._files import cache_folder
from morelli._progress import progress_bar
from morelli.data.prepared import read_paintings
from morelli.errors import MorelliError, MorelliWarning
from morelli.models import feature_cache
from morelli.models.backbones import Backbone, BackboneConfig
from morelli.models.engines import Engine

TINY = {"name": "test_resnet", "weights": "none", "image_size": 32}


def make_backbone(seed: int = 0, **changes: object) -> Backbone:
    torch.manual_seed(seed)
    return Backbone(BackboneConfig.model_validate({**TINY, **changes}))


def cached_features(
    backbone: Backbone, root: Path, paintings: pd.DataFrame, compute: Callable[[pd.DataFrame], Tensor]
) -> Tensor:
    """The features of one backbone in torch."""
    (features,) = feature_cache.cached_features(
        [Engine(backbone, "torch")], root, paintings, lambda _, block, _told: [compute(block)]
    )
    return features


class Compute:
    """Numbers in the place of features, one row for each painting, and a count of the paintings asked for."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.asked: list[str] = []
        self.fails_at = fails_at

    def __call__(self, block: pd.DataFrame) -> Tensor:
        if self.fails_at is not None and len(self.asked) >= self.fails_at:
            raise KeyboardInterrupt
        self.asked += list(block["id"])
        return torch.tensor([self.row(digest) for digest in block["sha256"]])

    @staticmethod
    def row(digest: str) -> list[float]:
        return [float(int(digest[place : place + 4], 16)) for place in (0, 4, 8)]

    def expected(self, table: pd.DataFrame) -> Tensor:
        return torch.tensor([self.row(digest) for digest in table["sha256"]])


@pytest.fixture
def table(prepared: Path) -> pd.DataFrame:
    return read_paintings(prepared)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "_BLOCK", 20)


def test_features_are_computed_once(prepared: Path, table: pd.DataFrame) -> None:
    backbone, compute = make_backbone(), Compute()

    first = cached_features(backbone, prepared, table, compute)
    second = cached_features(backbone, prepared, table.sample(frac=1, random_state=0), compute)

    assert compute.asked == list(table["id"])
    assert torch.equal(first, compute.expected(table))
    assert torch.equal(second, compute.expected(table.sample(frac=1, random_state=0)))


def test_only_what_is_missing_is_computed(prepared: Path, table: pd.DataFrame) -> None:
    backbone, compute = make_backbone(), Compute()
    cached_features(backbone, prepared, table.iloc[10:30], compute)

    features = cached_features(backbone, prepared, table.iloc[:40], compute)

    assert sorted(compute.asked) == list(table["id"][:40])
    assert torch.equal(features, compute.expected(table.iloc[:40]))


def test_the_same_file_twice_is_computed_once(prepared: Path, table: pd.DataFrame) -> None:
    compute = Compute()
    twice = pd.concat([table.iloc[:5], table.iloc[:5]], ignore_index=True)

    features = cached_features(make_backbone(), prepared, twice, compute)

    assert len(compute.asked) == 5
    assert torch.equal(features[:5], features[5:])


def test_an_interrupted_computation_goes_on(prepared: Path, table: pd.DataFrame) -> None:
    backbone, interrupted, compute = make_backbone(), Compute(fails_at=40), Compute()
    with pytest.raises(KeyboardInterrupt):
        cached_features(backbone, prepared, table, interrupted)

    features = cached_features(backbone, prepared, table, compute)

    assert interrupted.asked + compute.asked == list(table["id"])
    assert torch.equal(features, compute.expected(table))


def test_progress_counts_all_that_is_missing_not_one_block(
    prepared: Path, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds, compute = iter(range(0, 10_000, 31)), Compute()
    clock = progress_bar(clock=lambda: float(next(seconds)))
    monkeypatch.setattr(feature_cache, "progress_bar", lambda **_: clock)

    def told_of(_: object, block: pd.DataFrame, told: Callable[[float], None]) -> list[Tensor]:
        told(len(block))
        return [compute(block)]

    feature_cache.cached_features([Engine(make_backbone(), "torch")], prepared, table.iloc[:50], told_of)

    said = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in said] == ["test_resnet: 20/50", "test_resnet: 40/50"]


@pytest.mark.parametrize("damage", ["empty", "truncated", "foreign", "nonsense", "flipped", "without digest"])
def test_a_damaged_block_is_computed_again(prepared: Path, table: pd.DataFrame, cache: Path, damage: str) -> None:
    backbone, compute = make_backbone(), Compute()
    cached_features(backbone, prepared, table, Compute())
    path = sorted(cache.rglob("*.safetensors"))[0]
    content = path.read_bytes()
    foreign = b"\x02\x00\x00\x00\x00\x00\x00\x00{}"  # a valid safetensors file of nothing
    path.write_bytes(
        {
            "empty": b"",
            "truncated": content[:-7],
            "foreign": foreign,
            "nonsense": b"x" * 99,
            "flipped": content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
            "without digest": content.replace(b"morelli_sha256", b"morelli_sha255"),
        }[damage]
    )

    with pytest.warns(MorelliWarning, match=f"{path.name} cannot be read .* Its features are computed again"):
        features = cached_features(backbone, prepared, table, compute)

    assert 0 < len(compute.asked) <= 20
    assert torch.equal(features, compute.expected(table))
    again = Compute()
    assert torch.equal(cached_features(backbone, prepared, table, again), features)
    assert not again.asked


def test_half_written_files_are_not_read(prepared: Path, table: pd.DataFrame, cache: Path) -> None:
    backbone, compute = make_backbone(), Compute()
    cached_features(backbone, prepared, table, compute)
    (next(cache.rglob("*.safetensors")).parent / ".0123.partial.safetensors").write_bytes(b"half")

    cached_features(backbone, prepared, table, compute)

    assert len(compute.asked) == 72


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},  # other weights
        {"pool": "stages"},
        {"pool": "stages", "stages": 2},
        {"pool": "stages", "statistics": ("mean", "std")},
        {"image_size": 64},
        {"fit": "crop"},
        {"name": "test_resnet.r160_in1k", "fit": "squash"},
    ],
    ids=str,
)
def test_whatever_changes_the_features_changes_the_key(changes: dict[str, object]) -> None:
    plain = make_backbone().fingerprint()

    assert make_backbone().fingerprint() == plain
    assert make_backbone(**changes).fingerprint() != plain  # type: ignore[arg-type]


def test_a_picture_prepared_at_another_size_is_another_picture(
    prepared: Path, table: pd.DataFrame, tmp_path: Path
) -> None:
    backbone, compute = make_backbone(), Compute()
    some = table.iloc[:3]
    cached_features(backbone, prepared, some, compute)
    for file in some["file"]:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes((prepared / file).read_bytes() + b"longer")

    cached_features(backbone, tmp_path, some, compute)

    assert len(compute.asked) == 6


def test_a_missing_picture_is_named(prepared: Path, table: pd.DataFrame) -> None:
    with pytest.raises(MorelliError, match=r"gone\.jpg.*morelli data prepare"):
        cached_features(make_backbone(), prepared, table.iloc[:1].assign(file="images/gone.jpg"), Compute())


def test_the_cache_can_be_put_elsewhere(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv("MORELLI_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "morelli"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "morelli"


def test_engines_that_lack_the_same_paintings_compute_together(prepared: Path, table: pd.DataFrame) -> None:
    engines = [Engine(make_backbone(seed), "torch") for seed in (0, 1, 2)]
    cached_features(make_backbone(1), prepared, table.iloc[:30], Compute())
    asked: list[tuple[int, int]] = []

    def compute(chosen: Sequence[Engine], block: pd.DataFrame, _told: object) -> list[Tensor]:
        asked.append((len(chosen), len(block)))
        return [Compute()(block) + engines.index(one) for one in chosen]

    features = feature_cache.cached_features(engines, prepared, table, compute)

    assert sorted(asked) == [(1, 2), (1, 20), (1, 20), (2, 12), (2, 20), (2, 20), (2, 20)]
    expected = Compute().expected(table)
    assert torch.equal(features[0], expected)
    assert torch.equal(features[2], expected + 2)
    assert torch.equal(features[1][:30], expected[:30])
    assert torch.equal(features[1][30:], expected[30:] + 1)
