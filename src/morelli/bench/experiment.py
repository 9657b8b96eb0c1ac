"""One cell at work: features or images in, a trained and measured network out."""

import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from morelli._processes import is_first, once
from morelli.bench.grid import Cell
from morelli.bench.run_folder import RunFolder, write_subset
from morelli.data.artists import artist_key, artist_keys, rows_by_source
from morelli.data.copies import count_copies
from morelli.data.dataset import PaintersByNumbers
from morelli.data.splits import SIDES, Split
from morelli.errors import MorelliError, UnmeasurableError
from morelli.evaluation.calibration import FEWEST_PAIRS, Calibration, calibrate
from morelli.evaluation.evaluate import evaluate, pair_scores, too_few
from morelli.evaluation.identification import FEWEST_ARTISTS, learn_identification
from morelli.evaluation.metrics import load_metrics
from morelli.evaluation.normalisation import SMALLEST_COHORT, choose_cohort, cohort_scorers
from morelli.evaluation.verification import best_threshold, exact_masses, pair_auc
from morelli.models.backbones import Backbone, create_backbone
from morelli.models.embedder import Embedder, embed
from morelli.models.features import features_of
from morelli.models.heads import CosineScorer, EmbeddingHead, Scorer, scorer_name
from morelli.models.memory_format import settle_memory_format
from morelli.models.network import Network, NetworkCard, largest_shorter_side, short_digests, without_gradient
from morelli.models.own_parts import ModuleBackbone
from morelli.models.sources import SourceStatistics
from morelli.training.feature_dataset import FeatureDataset
from morelli.training.fit import Tracker, create_accelerator, fit
from morelli.training.objectives import create_objective


class Job:
    """One cell at work. With a frozen backbone, features take the place of images and only the head is trained."""

    def __init__(
        self,
        cell: Cell,
        data: Path,
        paintings: pd.DataFrame,
        split: Split,
        run: RunFolder,
        resume: bool,
        log: Tracker | None = None,
    ) -> None:
        self.cell, self.split, self.run, self.resume = cell, split, run, resume
        self.paintings = paintings
        is_compiled = cell.training.compile and cell.backbone.train == "all"
        self.accelerator = create_accelerator(cell.training.precision, log, run.path, compiled=is_compiled)
        self.device = self.accelerator.device
        torch.manual_seed(cell.seed)
        self.backbone = create_backbone(cell.backbone)
        self.head = EmbeddingHead(self.backbone.width, cell.head)
        self.rows = {side: split.rows(paintings, side) for side in SIDES}
        self.labels, self.artists = pd.factorize(artist_keys(self.rows["train"]["artist"]), sort=True)
        setup = cell.setup(self.labels.tolist(), self.rows["train"])
        self.objective = create_objective(
            cell.objective, **{**setup, "width": self.head.trained_width, "normalised": self.head.normalise}
        )
        # Features come after everything that is drawn at random: computing them, but not reading them, draws too.
        self.dataset = PaintersByNumbers(data, transform=self.backbone.transform())
        self.features = self._features()
        self.sources = self._aligned_sources()
        self.head.standardise(self.features["train"])
        self.facts: dict[str, Any] = {}
        self.cohort: Tensor | None = None
        self.notes: list[str] = []

    @property
    def scorer(self) -> Scorer:
        return self.objective.scorer if self.objective else CosineScorer()

    def _features(self) -> dict[str, Tensor]:
        """Features of the untrained backbone; a trained one needs only those that set the head's standardisation."""
        sides = self.rows if self.backbone.is_frozen else {"train": self.rows["train"]}
        together = pd.concat(sides.values(), ignore_index=True)
        features = features_of(self.backbone, self.dataset.only(list(together["id"])), self.device)
        parts = torch.split(features, [len(rows) for rows in sides.values()])
        return dict(zip(sides, parts, strict=True))

    def _aligned_sources(self) -> SourceStatistics | None:
        """Standardise the features of frozen backbones by source; those of a trained one would move on."""
        if not self.backbone.is_frozen:
            return None
        sources = SourceStatistics.learn(
            self.features["train"], self.rows["train"]["source"], self.rows["unseen"]["source"]
        )
        if sources:
            for side, features in self.features.items():
                sources.align(features, self.rows[side]["source"])
        return sources

    def train(self) -> tuple[pd.DataFrame, float]:
        """Returns one row an epoch, and the seconds that training took, those before an interruption included."""
        if self.objective is None:
            return pd.DataFrame(columns=["epoch", "loss"]), 0.0
        labels = self.labels.tolist()
        model: torch.nn.Module = self.head
        dataset: Any = FeatureDataset(self.features["train"], labels)
        if isinstance(self.backbone, Backbone) and not self.backbone.is_frozen:
            model = Embedder(self.backbone, self.head)
            dataset = self.dataset.only(list(self.rows["train"]["id"]))
            dataset.transform, dataset.labels = self.backbone.transform(augment=True), labels
            training = self.cell.training
            passes = training.epochs * len(dataset)
            settle_memory_format(
                self.backbone, self.device, pictures=passes, precision=training.precision, trained=True
            )
        history = fit(
            model,
            self.objective,
            dataset,
            labels,
            None if self.rows["validation"].empty else self._validate,
            self.cell.training,
            self.run.path,
            seed=self.cell.seed,
            resume=self.resume,
            accelerator=self.accelerator,
            keep=lambda: self.network().save(self.run.path / "model"),
            groups=self.objective.groups(self.rows["train"], labels),
        )
        self.head.cpu()
        self.objective.cpu()
        return history, float(history["seconds"].sum())

    def embeddings(self, side: str, chosen: pd.DataFrame | None = None) -> Tensor:
        """Embeddings of one side's paintings, (N, D), or of chosen rows of them, by the network as it stands."""
        rows = self.rows[side] if chosen is None else chosen
        if self.backbone.is_frozen:
            features = self.features[side][torch.tensor(rows.index.to_numpy())]
            return without_gradient(self.head, features.to(self.head.centre.device))
        return embed(Embedder(self.backbone, self.head), self.dataset.only(list(rows["id"])), self.device)

    def _validate(self) -> float:
        embeddings = self.embeddings("validation")
        if not is_first():
            return 0.0  # the first process's value counts
        scorer = copy.deepcopy(self.scorer).cpu()  # where the embeddings are
        masses = exact_masses(*_scores_within_sources(embeddings, self.rows["validation"], scorer))
        return float(pair_auc(*masses))

    def network(self) -> Network:
        card = NetworkCard(
            objective=self.cell.objective.name,
            backbone=self.cell.backbone,
            descriptions=dict(self.backbone.descriptions),
            head=self.cell.head,
            trunk=self.backbone.card if isinstance(self.backbone, ModuleBackbone) else None,
            scorer=scorer_name(type(self.scorer)),
            sources=self.sources.names if self.sources else (),
            prepared_size=largest_shorter_side(self.rows["train"]),
            training_artists=tuple(sorted(self.rows["train"]["artist"].unique())),
            validation_artists=tuple(sorted(self.rows["validation"]["artist"].unique())),
            training_paintings=tuple(short_digests(self.rows["train"])),
            **self.facts,
        )
        return Network(self.backbone, self.head, self.scorer, card, self.cohort, self.sources)

    def measure(self) -> dict[str, Any]:
        """Choose threshold and calibration on validation artists, a cohort of training ones; then measure all sides.

        All processes embed the paintings; the first measures. What too few artists leave out is said in ``notes``, and
        a side that cannot be measured, with the reason, in ``unmeasured``.

        Raises:
            MorelliError: the unseen artists cannot be measured.
        """
        cohort = choose_cohort(self.rows["train"], size=self.cell.recipe.evaluation.cohort)
        if len(cohort) >= SMALLEST_COHORT:
            self.cohort = self.embeddings("train", cohort)
            self.facts["cohort_artists"] = tuple(sorted(cohort["artist"].unique()))
        else:
            self.notes.append(
                f"{len(cohort)} training paintings are too few for a cohort that scores are normalised by; it takes "
                f"{SMALLEST_COHORT}."
            )
        embeddings = {side: self.embeddings(side) for side in SIDES[1:] if not self.rows[side].empty}
        return once(lambda: self._measured(embeddings))

    def _learned(self, embedded: Tensor | None) -> Calibration | None:
        """What the validation artists' embeddings teach goes into the facts; what they are too few for, is noted."""
        rows = self.rows["validation"]
        if embedded is None:
            self.notes.append(
                "No artist validates: training keeps its last weights, and there is no threshold, calibration or "
                "identification."
            )
            return None
        keys = artist_keys(rows["artist"]).tolist()
        if identification := learn_identification(embedded, keys, self.scorer, rows_by_source(rows)):
            self.facts["identification"] = identification.to_dict()
        else:
            self.notes.append(
                f"{len(set(keys))} validation artists are too few to learn identification; it takes {FEWEST_ARTISTS} "
                "with two or more paintings."
            )
        positives, negatives = _scores_within_sources(embedded, rows, self.scorer)
        if min(len(positives), len(negatives)) < FEWEST_PAIRS:
            self.notes.append(
                f"{len(positives)} pairs by one validation artist and {len(negatives)} by two are too few for a "
                f"threshold and a calibration; it takes {FEWEST_PAIRS} of each."
            )
            return None
        method = self.cell.recipe.evaluation.calibration
        calibration = calibrate(positives, negatives, rows["artist"].unique(), method=method)
        self.facts |= {"threshold": best_threshold(positives, negatives), "calibration": calibration.to_dict()}
        return calibration

    def _measured(self, embeddings: dict[str, Tensor]) -> dict[str, Any]:
        calibration = self._learned(embeddings.get("validation"))
        network = self.network()
        unmeasured = {side: reason for side in SIDES[2:] if (reason := too_few(side, self.rows[side]))}
        if "unseen" in unmeasured:
            raise MorelliError(unmeasured["unseen"])
        metrics: dict[str, Any] = {
            "parameters": self.backbone.parameter_count() + sum(p.numel() for p in self.head.parameters()),
            "image_size": self.backbone.image_size,
            "embedding_width": self.head.width,
            "copies": asdict(count_copies(self.paintings)),
        }
        own_metrics = load_metrics(self.cell.recipe.evaluation.metrics)
        for side, embedded in embeddings.items():
            if side in unmeasured:
                continue
            try:
                measured = evaluate(
                    embedded,
                    self.rows[side],
                    network.scorer,
                    threshold=network.card.threshold,
                    calibration=None if side == "validation" else calibration,
                    normalised=cohort_scorers(network) if side == "unseen" else None,
                    metrics=own_metrics,
                )
            except UnmeasurableError as error:
                raise MorelliError(f"{side.capitalize()} artists: {error}") from error
            copies = count_copies(self.paintings, self.rows[side]["id"]).of_side()
            metrics[side] = {**measured.metrics, **copies, "interval": measured.intervals}
            write_subset(self.run.path, side, measured)
            self.notes += [f"{side.capitalize()} artists: {note}" for note in measured.notes]
        if own_metrics:
            metrics["own_metrics"] = [metric.described() for metric in own_metrics]
        if self.objective and "seen" in metrics:
            metrics["seen"] |= self.objective.measure(embeddings["seen"], self._labels_of("seen"))
        metrics |= {"unmeasured": unmeasured} if unmeasured else {}
        metrics |= {"notes": self.notes} if self.notes else {}
        self.facts["measured"] = _decisions(metrics["unseen"])
        self.network().save(self.run.path / "model")  # now with these facts
        return metrics

    def _labels_of(self, side: str) -> Tensor:
        """The training artists' numbers, (N,), of one side's paintings."""
        label_of = {artist_key(artist): label for label, artist in enumerate(self.artists)}
        return torch.tensor([label_of[artist_key(name)] for name in self.rows[side]["artist"]])


def _decisions(metrics: dict[str, Any]) -> dict[str, Any]:
    """What a user of the network must be told with every answer: how its decisions fared."""
    kept = ("pair_auc", "precision_at_1", "realised_", "brier", "ece")
    named = {name: value for name, value in metrics.items() if name in kept or name.startswith(kept[2:])}
    counts = {name: metrics[name] for name in ("artists", "paintings")}
    return {**counts, **named, "interval": {name: metrics["interval"].get(name) for name in named}}


def _scores_within_sources(embeddings: Tensor, rows: pd.DataFrame, scorer: Scorer) -> tuple[np.ndarray, np.ndarray]:
    """Scores of pairs by one hand and by two, both of one source: across sources they are too easy to learn from."""
    parts = [
        pair_scores(embeddings[torch.from_numpy(places)], rows.iloc[places].reset_index(drop=True), scorer)
        for places in rows_by_source(rows)
    ]
    positives, negatives = zip(*parts, strict=True)
    return np.concatenate(positives), np.concatenate(negatives)
