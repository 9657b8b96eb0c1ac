"""JSON files of ours, read through pydantic: wrong types, bare NaN, deep nesting and torn text are one sentence."""

import json
from collections.abc import Hashable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json, to_jsonable_python

from morelli._files import read_text, reading, write_text_whole
from morelli._text import UNSHOWABLE

_T = TypeVar("_T")


def read_json(path: Path, expected: type[_T], remedy: str = "") -> _T:
    """Read a JSON file as ``expected``: a pydantic model, a dataclass, a ``TypedDict`` or a plain type.

    Raises:
        UnreadableError: it is missing, no JSON, or holds something else; the message ends with ``remedy``.
    """
    with reading(path, remedy):
        return parsed_json(read_text(path), expected)


def parsed_json(text: str | bytes, expected: type[_T]) -> _T:
    """As :func:`read_json`, for a text.

    Raises:
        ValueError: it holds something else.
    """
    from_json(text, allow_inf_nan=False)  # Python's own JSON, and pydantic's, take NaN for a number
    try:
        checked: _T = _adapter(cast(Hashable, expected)).validate_json(text, strict=True)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None
    return checked


def checked(content: Any, expected: type[_T]) -> _T:
    """As :func:`read_json`, for plain values, such as those of YAML.

    Raises:
        ValueError: they are something else.
    """
    return parsed_json(to_json(content), expected)


def first_fault(error: ValidationError) -> str:
    """Where and how what was read differs from what was expected."""
    fault = error.errors(include_url=False, include_context=False)[0]
    place, what = ".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, ")
    return f"{place}: {what}" if place else what


@cache
def _adapter(expected: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, expected))


def json_text(content: Any, indent: int = 1) -> str:
    """Plain values as JSON for other programs and terminals: NaN is null, and no character moves a cursor."""
    text = json.dumps(to_jsonable_python(content, inf_nan_mode="null"), indent=indent, ensure_ascii=False)
    return UNSHOWABLE.sub(lambda found: f"\\u{ord(found[0]):04x}" if found[0] != "\n" else "\n", text)


def write_json(path: Path, content: Any) -> None:
    """Write plain values as JSON, whole or not at all.

    Raises:
        ValueError: a number is not finite.
        UnwritableError: as :func:`morelli._files.written_whole`.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_text_whole(path, text + "\n")
