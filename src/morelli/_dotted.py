"""Dotted paths, ``package.module:Name``: how extensions from outside the package are named and loaded."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import Any

from morelli._text import one_line
from morelli.errors import MorelliError, did_you_mean


def is_dotted(name: str) -> bool:
    """Whether a name is a dotted path rather than a name of a table of ours."""
    return ":" in name


def load_dotted(path: str, expected: type[Any] | tuple[type[Any], ...], what: str | None = None) -> Any:
    """Import ``package.module:Name`` and return what it names; modules of the working directory are found, too.

    Args:
        path: as the user wrote it.
        expected: the types of which it must be an instance or, where it is a class, a subclass.
        what: ``expected`` in words, such as "a morelli.preparation.sources.Source"; its name by default.

    Raises:
        MorelliError: no such module or name, an error while importing, or another kind of thing. The message has the
            path, what was expected and what was found.
    """
    what = (
        what or f"a {' or a '.join(one.__name__ for one in (expected if isinstance(expected, tuple) else (expected,)))}"
    )
    module_name, _, name = path.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *name.split("."))):
        raise _unfit(path, what, "it is not of the form package.module:Name")
    with explained(path, what, f"importing {module_name} failed"):
        if find_spec(module_name.partition(".")[0]) is None and (here := str(Path.cwd())) not in sys.path:
            sys.path.append(here)
        module = import_module(module_name)
    try:
        found = attrgetter(name)(module)
    except AttributeError:
        hint = did_you_mean(name, [one for one in vars(module) if not one.startswith("_")])
        raise _unfit(path, what, f'{module_name} has no "{name}".{hint}'.removesuffix(".")) from None
    if not (isinstance(found, expected) or (isinstance(found, type) and issubclass(found, expected))):
        kind = "the class" if isinstance(found, type) else f"of type {type(found).__name__}:"
        raise _unfit(path, what, f"it is {kind} {getattr(found, '__name__', repr(found))[:80]}")
    return found


@contextmanager
def explained(path: str, what: str, failed: str = "it could not be made") -> Iterator[None]:
    """Turn any error of an extension's own code into a :class:`MorelliError` that names its path.

    Use it around what makes or asks the extension. A :class:`MorelliError` passes as it is.
    """
    try:
        yield
    except MorelliError:
        raise
    except Exception as error:
        raise _unfit(path, what, f"{failed} ({type(error).__name__}: {error})") from error


def _unfit(path: str, what: str, found: str) -> MorelliError:
    return MorelliError(one_line(f"{path} must be {what}, but {found}" + ("" if found.endswith("?") else ".")))
