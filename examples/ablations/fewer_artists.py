"""How many artists? A split in which only the first ``train_artists`` of those who train, in a seeded order, do train.

    morelli bench configs/ablation/artists.yaml --data prepared/painters-mini --set split.train_artists=50 \
        --set name=ablation-artists-50
"""

import pandas as pd

from morelli.data.splitters import FractionSplitter, shuffled_artists


class FewerArtists(FractionSplitter):
    """As ``fraction``; the unseen and the validation artists stay the same whatever ``train_artists`` is."""

    def sides(self, table: pd.DataFrame, fold: int) -> pd.Series:
        """All sides, with the training artists beyond ``train_artists`` left out."""
        sides = super().sides(table, fold)
        training = shuffled_artists(table["key"][sides == "train"], self.config.seed)
        return sides.mask(table["key"].isin(training[self.config.train_artists :]), "none")
