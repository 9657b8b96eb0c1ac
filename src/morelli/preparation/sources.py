"""The table of sources: a path is read by the first kind that recognises it, or by the one that the user names."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from morelli._dotted import explained, is_dotted, load_dotted
from morelli._file_names import printable
from morelli.data.prepared import TABLE
from morelli.errors import MorelliError, did_you_mean
from morelli.preparation.competition import CompetitionSource
from morelli.preparation.folders import FolderSource
from morelli.preparation.iiif import IIIFSource
from morelli.preparation.listing import OTHER_ARCHIVES
from morelli.preparation.parquet import ParquetSource
from morelli.preparation.source import LAYOUTS, Catalogue, Source, SourceOptions
from morelli.preparation.table import TableSource
from morelli.preparation.web import host_of

SOURCES: Final[tuple[type[Source], ...]] = (CompetitionSource, ParquetSource, FolderSource, TableSource, IIIFSource)
"""In the order in which they are asked."""
_WHAT: Final = "a morelli.preparation.source.Source"


def read_source(given: str | Path, options: SourceOptions, kind: str | None = None) -> Catalogue:
    """List what a path or an address in the web offers."""
    name, path = printable(str(given)), Path(given)
    if host_of(str(given)):
        options, kind = replace(options, address=str(given)), kind or IIIFSource.name
    source = _named(kind) if kind else None
    try:
        if not options.address and not path.exists():
            raise MorelliError(f"No source at {name}.\n{LAYOUTS}")
        if not (options.address or path.is_file() or path.is_dir()):
            raise MorelliError(f"{name} is neither a folder nor a plain file.\n{LAYOUTS}")
        if (path / TABLE).is_file():
            raise MorelliError(f"{path} is a prepared folder already. Give it to the other commands: --data {path}")
        source = source or next((made for one in SOURCES if (made := one()).recognises(path, options)), None)
        if source and not (kind and is_dotted(kind)):
            return source.read(path, options)
    except OSError as error:
        why = printable(str(error))
        said = why if why.startswith(name) else f"{name} cannot be read: {why}"
        raise MorelliError(f"{said}. Mend that and run the same command again.") from error
    if kind and source:
        with explained(kind, _WHAT, f"reading {name} failed"):
            catalogue = source.read(path, options)
            if not isinstance(catalogue, Catalogue):
                raise TypeError(f"read() gave {type(catalogue).__name__}, not a Catalogue")
            return catalogue
    suffix = path.suffix.lower()
    hint = " Save the table as CSV." if suffix in (".xlsx", ".xls", ".ods") else ""
    hint = " Unpack it, and pass the folder." if suffix in OTHER_ARCHIVES else hint
    raise MorelliError(f"{name} is not a source.{hint}\n{LAYOUTS}")


def _named(kind: str) -> Source:
    if is_dotted(kind):
        found = load_dotted(kind, Source, _WHAT)
        with explained(kind, _WHAT):
            made: Source = found() if isinstance(found, type) else found
            return made
    by_name = {source.name: source for source in SOURCES}
    if kind not in by_name:
        raise MorelliError(
            f'"{kind}" is no kind of source; there are {", ".join(by_name)}, and others by package.module:Name.'
            f"{did_you_mean(kind, by_name)}"
        )
    return by_name[kind]()
