"""Search results as an HTML page that opens from disk, with the pictures inside it."""

from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader
from PIL import Image

from morelli._files import check_output, write_text_whole
from morelli.errors import MorelliError
from morelli.gallery.compare import CAVEAT
from morelli.gallery.pictures import data_url, open_picture
from morelli.gallery.scoring import percent
from morelli.gallery.search import SearchResult

_SIDE: Final = 200


def write_page(query: Path, found: SearchResult, path: Path) -> None:
    """Write an HTML page (``.html``) with the query and what was found; it needs no network."""
    check_output(path, ".html", ".htm", read=[query])
    pages = Environment(loader=PackageLoader("morelli.gallery", "templates"), autoescape=True)
    pages.filters["percent"] = percent
    text = pages.get_template("search.html").render(found=found, query=query, picture=_thumbnail, caveat=CAVEAT)
    write_text_whole(path, text)


def _thumbnail(path: Path) -> str:
    """A picture as a data URL; a grey square if it has gone since it was indexed."""
    try:
        return data_url(open_picture(path, _SIDE).rgb)
    except MorelliError:
        return data_url(Image.new("RGB", (_SIDE, _SIDE), "grey"))
