"""A source: a ``.list`` file with a line for each painting, ``artist | file``, files relative to it."""

from pathlib import Path

import pandas as pd

from morelli.errors import MorelliError
from morelli.preparation.archives import File
from morelli.preparation.source import Catalogue, Source, SourceOptions


class ListSource(Source):
    """``--source-kind examples.plugin.source:ListSource``."""

    name = "list"

    def recognises(self, path: Path, options: SourceOptions) -> bool:  # noqa: ARG002
        return path.suffix == ".list"

    def read(self, path: Path, options: SourceOptions) -> Catalogue:  # noqa: ARG002
        lines = [line.split("|") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        if wrong := [line for line in lines if len(line) != 2]:
            raise MorelliError(f"{path} has a line that is not artist | file: {'|'.join(wrong[0])!r}")
        rows = pd.DataFrame([[part.strip() for part in line] for line in lines], columns=["artist", "file"])
        files = {file: File.at(path.parent / file, file) for file in rows["file"]}
        return Catalogue.of(self.name, rows, files, understood=[f"A list of {len(rows)} paintings."])
