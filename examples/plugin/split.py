"""A split: artists whose names come last in the alphabet are unseen, those before them validate."""

import pandas as pd

from morelli.data.splitters import Splitter, sides_around


class AlphabetSplitter(Splitter):
    """``split: {kind: examples.plugin.split:AlphabetSplitter}``; it heeds ``unseen_fraction``."""

    def sides(self, table: pd.DataFrame, fold: int) -> pd.Series:  # noqa: ARG002
        keys = sorted(table["key"].unique())
        unseen = keys[-max(2, round(self.config.unseen_fraction * len(keys))) :]
        return sides_around(table, unseen, self.config)
