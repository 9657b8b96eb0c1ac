"""The card of a model: what it was made from, what it was worth, and what it is not good for."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from morelli._files import write_text_whole
from morelli._yaml import write_yaml
from morelli.bench.run_folder import RunFolder
from morelli.bench.text_tables import with_interval
from morelli.data.artists import artist_key
from morelli.evaluation.metrics import METRICS, Metric, from_descriptions
from morelli.models.model_folder import EVAL_RESULTS, README
from morelli.models.network import NetworkCard

_TASK: Final = "image-feature-extraction"


def write_model_card(run: RunFolder, network: NetworkCard, metrics: dict[str, Any]) -> None:
    """Write ``README.md`` and ``.eval_results`` into a run's model folder, as a model hub shows them.

    Args:
        run: its config must have been written.
        network: of the model in it.
        metrics: as in ``metrics.json``.
    """
    config = run.config
    subsets = [subset for subset in ("unseen", "seen") if subset in metrics]
    shown = [one for one in (*METRICS, *from_descriptions(metrics.get("own_metrics", ()))) if one.on_card]
    name = f"{network.objective} on {config['backbone_label']}"
    card = ModelCard.from_template(
        _data(name, config, metrics["unseen"], shown),
        template_path=str(Path(__file__).with_name("templates") / "model_card.md"),
        name=name,
        objective=network.objective,
        backbone=config["backbone_label"],
        recipe=config["recipe"],
        split=config["split"]["kind"],
        data=config["data"],
        frozen=network.head is None,
        training_artists=_count(network.training_artists),
        training_paintings=len(network.training_paintings),
        validation_artists=_count(network.validation_artists),
        unseen=metrics["unseen"],
        subsets=subsets,
        rows=[[one.heading, *(with_interval(metrics[subset], one.name) for subset in subsets)] for one in shown],
        rates=_rates(metrics["unseen"]),
    )
    write_text_whole(run.path / "model" / README, f"{card}\n")
    write_text_whole(
        run.path / "model" / EVAL_RESULTS, write_yaml(_eval_results(config["recipe"], metrics["unseen"], shown))
    )


def _count(artists: Iterable[str]) -> int:
    return len(set(map(artist_key, artists)))


def _data(name: str, config: dict[str, Any], unseen: dict[str, Any], shown: Iterable[Metric]) -> ModelCardData:
    results = [
        EvalResult(
            task_type=_TASK,
            dataset_type="artist-disjoint-paintings",
            dataset_name=f"{config['recipe']}, unseen artists",
            metric_type=metric.name,
            metric_name=metric.heading,
            metric_value=unseen[metric.name],
            metric_args={"interval_95": list(unseen["interval"].get(metric.name, ())), "artists": unseen["artists"]},
        )
        for metric in shown
        if unseen.get(metric.name) is not None
    ]
    tags = ["morelli", "paintings", "attribution", "verification", "metric-learning"]
    return ModelCardData(model_name=name, library_name="morelli", pipeline_tag=_TASK, tags=tags, eval_results=results)


def _eval_results(recipe: str, unseen: dict[str, Any], shown: Iterable[Metric]) -> list[dict[str, Any]]:
    """The entries of a hub's ``.eval_results``, see https://huggingface.co/docs/hub/eval-results: one a metric."""
    measured_on = f"unseen artists: {unseen['artists']}, paintings: {unseen['paintings']}"
    return [
        {
            "dataset": {"id": f"morelli/{recipe}", "task_id": metric.name},
            "value": unseen[metric.name],
            "notes": f"{with_interval(unseen, metric.name)}, 95 % interval over artists; {measured_on}",
        }
        for metric in shown
        if unseen.get(metric.name) is not None
    ]


def _rates(unseen: dict[str, Any]) -> tuple[str, str] | None:
    """The shares of pairs wrongly called the same hand, and wrongly called different."""
    if unseen.get("realised_far_balanced") is None:
        return None
    return f"{unseen['realised_far_balanced']:.1%}", f"{1 - unseen['realised_recall_balanced']:.1%}"
