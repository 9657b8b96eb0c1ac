"""Reading a CSV as people have it: any separator, any usual encoding, every cell as text."""

import codecs
import io
import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from morelli.errors import MorelliError
from morelli.preparation.pointers import HEAD_BYTES, stand_in

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_EXCEL = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)


@dataclass(frozen=True)
class Rows:
    """A table's cells, without spaces around them and empty where nothing is; and what was guessed to read them."""

    cells: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def read_rows(path: Path, content: bytes) -> Rows:
    """Read the bytes of the CSV at ``path``.

    Raises:
        MorelliError: empty, a stand-in for a file that was not fetched, or rows that do not fit the header.
    """
    instead = stand_in(content[:HEAD_BYTES])
    if instead:
        raise MorelliError(f"{path} is {instead}.")
    text, notes = _decoded(path, content)
    announced = _EXCEL.match(text)
    if announced:
        text = text[announced.end() :]
    separator = announced[1] if announced else _separator(text)
    if separator != ",":
        how = _SEPARATORS.get(separator, separator)
        notes.append(
            f"{path.name} was read with {how} between cells; if that is wrong: Save it with commas, not {how}."
        )
    try:
        rows = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, sep=separator)
    except pd.errors.EmptyDataError as error:
        raise MorelliError(f"{path} is empty. It needs a header and one row a painting.") from error
    except ValueError as error:
        raise MorelliError(
            f"{path} cannot be read as a CSV ({str(error).strip()}). Quote cells that hold a comma."
        ) from error
    if not isinstance(rows.index, pd.RangeIndex):  # pandas takes a first cell too many for the row's name
        raise MorelliError(
            f"{path} has rows with more cells than its header has columns ({', '.join(rows.columns)}), "
            f"such as line 2. Quote cells that hold a comma."
        )
    return Rows(rows.rename(columns=str.strip).map(str.strip), notes)


def _decoded(path: Path, content: bytes) -> tuple[str, list[str]]:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace"), [f"{path.name} was read as UTF-16."]
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
        return text, [
            f"{path.name} is not encoded in UTF-8 and was read as Windows-1252 (Latin-1); if names look wrong, save it "
            "as CSV UTF-8."
        ]


def _separator(text: str) -> str:
    """The separator that stands most often in the header, outside quotes."""
    header = re.sub(r'"[^"]*"', "", text.lstrip().partition("\n")[0])
    return max(_SEPARATORS, key=header.count)
