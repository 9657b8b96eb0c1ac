"""Domain shift: the conditions under which ``morelli evaluate --shift`` measures a folder's pictures again.

A condition of your own is a :class:`Condition` in any module, named by its dotted path, as in
``morelli evaluate --with-condition my_package.my_module:UPSIDE_DOWN``::

    UPSIDE_DOWN = Condition("upside down", "top below", ImageOps.flip)
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageFilter

from morelli._dotted import explained, load_dotted
from morelli.errors import MorelliError
from morelli.models.transforms import Change, Picture

AS_THEY_ARE: Final = "as they are"
"""What tables call the pictures that no condition changed."""


@dataclass(frozen=True)
class Condition:
    """One way in which other pictures differ from those that a network was trained on.

    Attributes:
        name: its key in ``metrics.json`` and its row in tables.
        doc: what it does, in a few words.
        change: an RGB picture → another RGB picture, the same each time; a module's function, so that processes can
            take it.
    """

    name: str
    doc: str
    change: Change


def _saved_as_jpeg(picture: Picture) -> Picture:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=30)
    return Image.open(file).convert("RGB")


def _half_size(picture: Picture) -> Picture:
    return picture.reduce(2)


def _recaptured(picture: Picture) -> Picture:
    blurred = picture.filter(ImageFilter.GaussianBlur(min(picture.size) / 150))
    table = [min(255, round(gain * level)) for gain in (1.1, 1.0, 0.8) for level in range(256)]
    return blurred.point(table)


def _grey(picture: Picture) -> Picture:
    return picture.convert("L").convert("RGB")


def _cropped(picture: Picture) -> Picture:
    across, down = (round(side / 10) for side in picture.size)
    return picture.crop((across, down, picture.width - across, picture.height - down))


CONDITIONS: Final = (
    Condition("JPEG 30", "saved as a JPEG of quality 30", _saved_as_jpeg),
    Condition("half size", "2 × 2 pixels averaged to one", _half_size),
    Condition(
        "recaptured",
        "blurred by 1/150 of the shorter side (standard deviation), red × 1.1 and blue × 0.8, as by lamplight",
        _recaptured,
    ),
    Condition("grey", "without colour: ITU-R 601 luma", _grey),
    Condition("cropped", "a tenth cut off each side", _cropped),
)


def load_conditions(paths: Iterable[str]) -> tuple[Condition, ...]:
    """:data:`CONDITIONS`, and those at dotted paths, ``package.module:NAME``.

    Raises:
        MorelliError: one cannot be imported, is no condition, fails on a plain picture or gives something else than an
            RGB picture, or has the name of another.
    """
    found = list(CONDITIONS)
    for path in paths:
        condition: Condition = load_dotted(path, Condition, "a morelli.evaluation.shift.Condition")
        if condition.name in (AS_THEY_ARE, *(one.name for one in found)):
            raise MorelliError(f'There are two conditions called "{condition.name}". Give yours another name.')
        with explained(path, "a condition of RGB pictures", "its change failed on a picture of 96 by 64"):
            changed = condition.change(Image.new("RGB", (96, 64)))
        if getattr(changed, "mode", None) != "RGB":
            kind = getattr(changed, "mode", type(changed).__name__)
            raise MorelliError(f"{path} must give RGB pictures, but its change gives {kind}.")
        found.append(condition)
    return tuple(found)
