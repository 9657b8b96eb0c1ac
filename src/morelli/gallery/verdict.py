"""The verdict page: one comparison on one sheet of A4, with what a reader needs to weigh it."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined
from PIL import Image

from morelli._files import check_output, write_text_whole
from morelli.bench.text_tables import with_interval
from morelli.gallery.compare import CAVEAT, Comparison
from morelli.gallery.explain import Explanation
from morelli.gallery.pictures import LoadedPicture, data_url
from morelli.gallery.scoring import percent
from morelli.models.network import NetworkCard
from morelli.report.svg import Chart, Plot

_SIDE: Final = 480


@dataclass(frozen=True)
class Verdict:
    """A comparison with all that stands on its page.

    Attributes:
        comparison: what was said.
        pictures: the two, as the network saw them.
        explanation: the regions that spoke for the match.
        card: the network's.
        model: its folder or name.
        fingerprint: a digest of its weights.
    """

    comparison: Comparison
    pictures: tuple[LoadedPicture, LoadedPicture]
    explanation: Explanation
    card: NetworkCard
    model: str
    fingerprint: str

    def write(self, path: Path) -> None:
        """Write :meth:`html` to a file (``.html``)."""
        check_output(path, ".html", ".htm")
        write_text_whole(path, self.html())

    def html(self) -> str:
        """A page that needs no network and prints on A4."""
        templates = {"": PackageLoader("morelli.gallery"), "report": PackageLoader("morelli.report")}
        pages = Environment(loader=PrefixLoader(templates), autoescape=True, undefined=StrictUndefined)
        pages.filters["percent"] = percent
        measured = self.card.measured or {}
        names = {
            "pair_auc": "Pair AUC",
            "cllr": "Cllr (0 perfect, 1 says nothing)",
            "realised_far_0.1": "False accepts where 0.1 was asked",
            "realised_far_0.01": "False accepts where 0.01 was asked",
        }
        suffix = {"none": "", "training": "_training_cohort"}.get(self.comparison.cohort, "_own_cohort")
        return pages.get_template("/verdict.html").render(
            found=self.comparison,
            pictures=[(_picture(one.rgb), one.info) for one in self.pictures],
            maps=_picture(self.explanation.image(captioned=False)),
            validated={
                words: with_interval(measured, name + suffix)
                for name, words in names.items()
                if name + suffix in measured
            },
            card=self.card,
            measured=measured,
            tippett=_tippett(self.card, self.comparison) if not suffix else None,
            model=self.model,
            fingerprint=self.fingerprint,
            version=version("morelli"),
            caveat=CAVEAT,
        )


def _tippett(card: NetworkCard, comparison: Comparison) -> Chart | None:
    """The ratios of unseen artists' pairs, and where this one stands among them."""
    if card.tippett is None:
        return None
    ratios = np.array(card.tippett["log10_lr"])
    plot = Plot((float(ratios[0]), float(ratios[-1])), (0, 1))
    for side in ("same", "different"):
        plot.line(side, ratios, np.array(card.tippett[side]))
    if comparison.lr:
        plot.line("here", np.full(2, comparison.lr.log10), np.array([0, 1]))
    return plot.chart("Tippett plot of the artists never seen in training.", "log10 LR", "share of pairs above")


def _picture(image: Image.Image) -> str:
    """As a data URL, at most 480 pixels high."""
    shown = image.copy()
    shown.thumbnail((2 * _SIDE, _SIDE))
    return data_url(shown)
