"""A metric of retrieval: precision among the five nearest paintings."""

from morelli.evaluation.metrics import Metric

PRECISION_AT_5 = Metric(
    name="precision_at_5",
    heading="P@5",
    doc="share of the five nearest paintings that are by the query's artist",
    compute=lambda ranking: ranking.per_query(ranking.rank <= 5) / 5,
    looks="k",
    shown_first=True,
    on_card=True,
)
