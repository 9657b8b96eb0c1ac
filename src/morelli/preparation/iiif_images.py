"""The IIIF Image API, versions 2 and 3: which picture to ask a server for, by what a manifest says of it."""

import io
import re
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

from morelli._json import parsed_json
from morelli.preparation.web import AnsweredError, Web


class Picture(NamedTuple):
    """A picture on a server.

    Attributes:
        address: of the picture in the size that is needed; empty where only ``info.json`` tells which there are.
        service: address of its Image API; empty if it has none.
        side: pixels that its shorter side must have.
        said: the width and height that it is said to have; 0 if nothing is said.
    """

    address: str
    service: str
    side: int
    said: tuple[int, int]


class Pictures(Web):
    """The pictures of some hosts, as originals."""

    def open(self, picture: Picture) -> IO[bytes]:
        """Fetch a picture; where its manifest was wrong about its size, in one that the server offers."""
        try:
            if picture.address:
                return io.BytesIO(self.get(picture.address))
        except AnsweredError:
            if not picture.service:
                raise
        place = f"{picture.service}/info.json"
        try:
            info = parsed_json(self.get(place), dict[str, Any])
        except ValueError as error:
            raise AnsweredError(f"{place} is no JSON") from error
        if not min(_sides(info)):
            raise AnsweredError(f"{place} tells no size")
        return io.BytesIO(self.get(_address(picture.service, info, _sides(info), picture.side)))


def picture_of(resource: dict[str, Any], canvas: dict[str, Any], side: int) -> Picture:
    """Where to fetch a picture, by what the manifest says of it."""
    service = next(filter(_version, each(resource, "service")), {})
    if not (base := id_of(service).rstrip("/")):
        return Picture(id_of(resource), "", side, _sides(resource))
    said = next((sides for one in (resource, service) if min(sides := _sides(one))), (0, 0))
    known = said if min(said) else _sides(canvas)  # whose proportions are the picture's
    needs_info = "level0" in str(service.get("profile")) or not min(known)
    return Picture("" if needs_info else _address(base, service, known, side), base, side, said)


def _address(base: str, about: Mapping[str, Any], sides: tuple[int, int], side: int) -> str:
    """A picture in the size that is needed; ``about``: what ``info.json`` or the manifest says of its service."""
    is_3 = _version(about) == "3"
    offered = sorted(sides for one in each(about, "sizes") if min(sides := _sides(one)) >= side)
    size = "max" if is_3 else "full"
    if min(sides) > side and "level0" not in str(about.get("profile")):
        size = f"{round(sides[0] * side / min(sides))},"
    elif min(sides) > side and offered:
        size = f"{offered[0][0]},{offered[0][1] if is_3 else ''}"
    return f"{base}/full/{size}/0/default.jpg"


def _version(about: Mapping[str, Any]) -> str:
    """The version of a service's Image API, 2 or 3; empty for another service."""
    found = re.search(
        r"(?:ImageService|/image/)([23])", f"{type_of(about)} {about.get('@context')} {about.get('profile')}"
    )
    return found[1] if found else ""


def each(one: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = one.get(key)
    return [inner for inner in (value if isinstance(value, list) else [value]) if isinstance(inner, dict)]


def id_of(one: Mapping[str, Any]) -> str:
    return str(one.get("id") or one.get("@id") or "")


def type_of(one: Mapping[str, Any]) -> str:
    return str(one.get("type") or one.get("@type") or "")


def _sides(one: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height in pixels, 0 where they are not told."""
    width, height = (side if isinstance(side := one.get(key), int) and side > 0 else 0 for key in ("width", "height"))
    return width, height
