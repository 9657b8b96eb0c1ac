"""A column of tables: the learning rate, which tells apart runs that differ in it."""

from morelli.bench.columns import Column

LEARNING_RATE = Column(
    "learning_rate", "lr", lambda run: (run.config["training"] or {}).get("learning_rate"), only_if_it_varies=False
)
