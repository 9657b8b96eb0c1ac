"""One experiment of a bench: a backbone and a head are trained, measured, and saved."""

import copy
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from morelli._processes import is_first, on_main_process
from morelli.bench.grid import GridPoint
from morelli.bench.leakage import leakage
from morelli.bench.measure import decisions, measure_subset
from morelli.bench.run_folder import SUBSETS
from morelli.data.artists import artist_key, artist_keys
from morelli.data.copies import count_copies
from morelli.data.dataset import PaintersByNumbers
from morelli.data.known_artists import known_to
from morelli.data.splits import SIDES, split_paintings
from morelli.errors import MorelliError, UnmeasurableError
from morelli.evaluation.calibration import FEWEST_PAIRS
from morelli.evaluation.evaluate import pair_scores, too_few
from morelli.evaluation.identification import FEWEST_ARTISTS
from morelli.evaluation.learning import (
    TooFewPairsError,
    Validation,
    calibration_of,
    in_other_ways,
    tippett_of,
    unexplained_limit,
    validation_groups,
)
from morelli.evaluation.metrics import load_metrics
from morelli.evaluation.normalisation import SMALLEST_COHORT, choose_cohort
from morelli.evaluation.verification import exact_masses, pair_auc
from morelli.models.backbones import Backbone, coded, create_backbone
from morelli.models.custom_modules import ModuleBackbone
from morelli.models.embedder import Embedder, embed
from morelli.models.engines import engines_for
from morelli.models.features import features_of
from morelli.models.heads import CosineScorer, EmbeddingHead, Scorer, scorer_name
from morelli.models.memory_format import settle_memory_format
from morelli.models.network import Network, NetworkCard, largest_shorter_side, short_digests, without_gradient
from morelli.models.sources import SourceStatistics
from morelli.training.feature_dataset import FeatureDataset
from morelli.training.fit import create_accelerator, fit
from morelli.training.objectives import create_objective


class Experiment:
    """One point of the grid. With a frozen backbone, features take the place of images and only the head is trained."""

    def __init__(
        self,
        point: GridPoint,
        data: Path,
        paintings: pd.DataFrame,
        folder: Path,
        *,
        resume: bool,
        log: str | None = None,
    ) -> None:
        self.point, self.paintings, self.folder, self.resume = point, paintings, folder, resume
        self.split = split = split_paintings(paintings, point.recipe.split, point.fold)
        on_main_process(lambda: split.save(folder / "split.json", paintings))
        is_compiled = point.training.compile and point.backbone.train == "all"
        self.accelerator = create_accelerator(point.training.precision, log, folder, compiled=is_compiled)
        self.device = self.accelerator.device
        torch.manual_seed(point.seed)
        self.backbone = create_backbone(point.backbone)
        self.head = EmbeddingHead(self.backbone.width, point.head)
        self.rows = {subset: split.rows(paintings, subset) for subset in SIDES}
        self.labels, self.artists = pd.factorize(artist_keys(self.rows["train"]["artist"]), sort=True)
        setup = point.setup(self.labels.tolist(), self.rows["train"])
        setup |= {"width": self.head.trained_width, "normalised": self.head.normalise}
        self.objective = create_objective(point.objective, **setup)
        # Features come after everything that is drawn at random: computing them, but not reading them, draws too.
        self.dataset = PaintersByNumbers(data, transform=self.backbone.transform())
        self.features = self._features()
        self.sources = self._aligned_sources()
        self.head.standardise(self.features["train"], coded(self.backbone))
        self.metadata: dict[str, Any] = {}
        self.cohort: Tensor | None = None
        self.notes: list[str] = []
        self.scorer: Scorer = self.objective.scorer if self.objective else CosineScorer()

    def _features(self) -> dict[str, Tensor]:
        """Features of the untrained backbone; a trained one needs only those that set the head's standardisation."""
        subsets = self.rows if self.backbone.is_frozen else {"train": self.rows["train"]}
        together = pd.concat(subsets.values(), ignore_index=True)
        self.engines = engines_for(self.backbone, self.device, pictures=len(together), is_cached=True)
        features = features_of(self.backbone, self.dataset.only(list(together["id"])), self.device)
        return dict(zip(subsets, torch.split(features, list(map(len, subsets.values()))), strict=True))

    def _aligned_sources(self) -> SourceStatistics | None:
        """Standardise the features of frozen backbones by source; those of a trained one would move on."""
        if not self.backbone.is_frozen:
            return None
        sources = SourceStatistics.learn(
            self.features["train"], self.rows["train"]["source"], self.rows["unseen"]["source"]
        )
        if sources:
            for subset, features in self.features.items():
                sources.align(features, self.rows[subset]["source"])
        return sources

    def train(self) -> tuple[pd.DataFrame, float]:
        """Returns one row an epoch, and the seconds that training took, those before an interruption included."""
        if self.objective is None:
            return pd.DataFrame(columns=["epoch", "loss"]), 0.0
        labels, training = self.labels.tolist(), self.point.training
        model: torch.nn.Module = self.head
        dataset: Any = FeatureDataset(self.features["train"], labels)
        if isinstance(self.backbone, Backbone) and not self.backbone.is_frozen:
            model = Embedder(self.backbone, self.head)
            dataset = self.dataset.only(list(self.rows["train"]["id"]))
            dataset.transform, dataset.labels = self.backbone.transform(augment=True), labels
            passes, precision = training.epochs * len(dataset), training.precision
            settle_memory_format(self.backbone, self.device, pictures=passes, precision=precision)
        history = fit(
            model,
            self.objective,
            dataset,
            labels,
            None if self.rows["validation"].empty else self._validate,
            training,
            self.folder,
            seed=self.point.seed,
            resume=self.resume,
            accelerator=self.accelerator,
            keep=lambda: self.network().save(self.folder / "model"),
            groups=self.objective.groups(self.rows["train"], labels),
        )
        self.head.cpu()
        self.objective.cpu()
        return history, float(history["seconds"].sum())

    def embeddings(self, subset: str, chosen: pd.DataFrame | None = None) -> Tensor:
        """Embeddings of one subset's paintings, (N, D), or of chosen rows of them, by the network as it stands."""
        rows = self.rows[subset] if chosen is None else chosen
        if self.backbone.is_frozen:
            features = self.features[subset][torch.tensor(rows.index.to_numpy())]
            return without_gradient(self.head, features.to(self.head.centre.device))
        return embed(Embedder(self.backbone, self.head), self.dataset.only(list(rows["id"])), self.device)

    def _validate(self) -> float:
        embeddings = self.embeddings("validation")
        if not is_first():
            return 0.0  # the first process's value counts
        scorer = copy.deepcopy(self.scorer).cpu()  # where the embeddings are
        rows = self.rows["validation"]
        parts = [
            pair_scores(embeddings[torch.from_numpy(places)], rows.iloc[places].reset_index(drop=True), scorer)
            for places in self._validation_groups
        ]
        return float(pair_auc(*exact_masses(*map(np.concatenate, zip(*parts, strict=True)))))

    @cached_property
    def _validation_groups(self) -> list[np.ndarray]:
        return validation_groups(self.rows["validation"])

    def network(self) -> Network:
        """The network as it stands, with what is known of it."""
        train, validation = self.rows["train"], self.rows["validation"]
        card = NetworkCard(
            objective=self.point.objective.name,
            backbone=self.point.backbone,
            descriptions=dict(self.backbone.descriptions),
            head=self.point.head,
            trunk=self.backbone.card if isinstance(self.backbone, ModuleBackbone) else None,
            scorer=scorer_name(type(self.scorer)),
            sources=self.sources.names if self.sources else (),
            prepared_size=largest_shorter_side(train),
            training_artists=tuple(sorted({*_names(train), *known_to(self.point.backbone.weights)})),
            validation_artists=_names(validation),
            training_paintings=tuple(short_digests(train)),
            **self.metadata,
        )
        return Network(self.backbone, self.head, self.scorer, card, self.cohort, self.sources)

    def measure(self) -> dict[str, Any]:
        """Choose threshold and calibration on validation artists, a cohort of training ones; then measure all subsets.

        All processes embed the paintings; the first measures. What too few artists leave out is said in ``notes``, and
        a subset that cannot be measured, with the reason, in ``unmeasured``.

        Raises:
            MorelliError: the unseen artists cannot be measured.
        """
        cohort = choose_cohort(self.rows["train"], size=self.point.recipe.evaluation.cohort)
        if len(cohort) >= SMALLEST_COHORT:
            self.cohort = self.embeddings("train", cohort)
            self.metadata["cohort_artists"] = _names(cohort)
        else:
            self.notes.append(
                f"{len(cohort)} training paintings are too few for a cohort that scores are normalised by; it takes "
                f"{SMALLEST_COHORT}."
            )
        embeddings = {subset: self.embeddings(subset) for subset in SIDES[1:] if not self.rows[subset].empty}
        return on_main_process(lambda: self._measured(embeddings))

    def _learn(self, validation: Validation | None) -> None:
        """Learn identification, threshold and calibration from the validation artists, as far as they are enough."""
        if validation is None:
            self.notes.append(
                "No artist validates: training keeps its last weights, and there is no threshold, calibration or "
                "identification."
            )
            return
        method = self.point.recipe.evaluation.calibration
        try:
            self.metadata |= validation.facts(method)
        except TooFewPairsError as few:
            self.notes.append(f"{few} are too few for a threshold and a calibration; it takes {FEWEST_PAIRS} of each.")
            if identification := validation.identification():
                self.metadata["identification"] = identification.to_dict()
        if not self.metadata.get("identification"):
            self.notes.append(
                f"{len(_names(self.rows['validation']))} validation artists are too few to learn identification; it "
                f"takes {FEWEST_ARTISTS} with two or more paintings."
            )

    def _measured(self, embeddings: dict[str, Tensor]) -> dict[str, Any]:
        validation = None
        if "validation" in embeddings:
            validation = Validation(embeddings["validation"], self.rows["validation"], self.scorer, self.cohort)
        self._learn(validation)
        if validation and self.backbone.is_frozen:
            self.metadata["unexplained"] = unexplained_limit(self.head, self.features["validation"])
        unmeasured = {subset: reason for subset in SUBSETS if (reason := too_few(subset, self.rows[subset]))}
        if "unseen" in unmeasured:
            raise MorelliError(unmeasured["unseen"])
        metrics: dict[str, Any] = {
            "parameters": self.backbone.parameter_count() + sum(p.numel() for p in self.head.parameters()),
            "image_size": self.backbone.image_size,
            "embedding_width": self.head.width,
            "copies": asdict(count_copies(self.paintings)),
            "leakage": leakage(Path(self.dataset.root), self.paintings, self.split, self.point.backbone.weights),
        }
        network = self.network()
        calibration = calibration_of(network.card)
        own_metrics = load_metrics(self.point.recipe.evaluation.metrics)
        for subset in [one for one in embeddings if one not in unmeasured]:
            try:
                metrics[subset], notes, found = measure_subset(
                    subset,
                    embeddings[subset],
                    self.rows[subset],
                    network.scorer,
                    self.paintings,
                    self.folder,
                    threshold=network.card.threshold,
                    calibration=None if subset == "validation" else calibration,
                    **(in_other_ways(network, embeddings[subset]) if subset == "unseen" else {}),
                    metrics=own_metrics,
                    scored=validation.all_scored if validation and subset == "validation" else None,
                )
            except UnmeasurableError as error:
                raise MorelliError(f"{subset.capitalize()} artists: {error}") from error
            self.notes += notes
            if subset == "unseen" and calibration:
                self.metadata["tippett"] = tippett_of(found.score_histogram, calibration)
        if self.objective and "seen" in metrics:
            metrics["seen"] |= self.objective.measure(embeddings["seen"], self._labels_of("seen"))
        said = {"own_metrics": [one.described() for one in own_metrics], "unmeasured": unmeasured, "notes": self.notes}
        metrics |= {key: value for key, value in said.items() if value}
        self.metadata["measured"] = decisions(metrics["unseen"])
        self.network().save(self.folder / "model")  # now with this metadata
        return metrics

    def _labels_of(self, subset: str) -> Tensor:
        """The training artists' numbers, (N,), of one subset's paintings."""
        label_of = {artist_key(artist): label for label, artist in enumerate(self.artists)}
        return torch.tensor([label_of[artist_key(name)] for name in self.rows[subset]["artist"]])


def _names(paintings: pd.DataFrame) -> tuple[str, ...]:
    return tuple(sorted(paintings["artist"].unique()))
