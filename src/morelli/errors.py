"""The one error a user's mistake raises, its kinds that other code catches, and the hint for a misspelt name."""

import difflib
from collections.abc import Iterable


class MorelliError(Exception):
    """A mistake the user can mend: the message says what was wrong, where, and what to do.

    The command line prints it without a traceback and exits with status 2.
    """


class InputError(MorelliError, ValueError):
    """What was passed in does not fit: a ``ValueError`` too, as code around pytorch-metric-learning expects."""


class UnmeasurableError(InputError):
    """The arguments fit, but no measure can be taken of them: NaN, collapsed embeddings, nothing to find."""


class MorelliWarning(UserWarning):
    """What a user should know though the work goes on; the command line prints it as one sentence."""


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return ``' Did you mean "x"?'`` for the closest of the known names, or an empty string."""
    by_folded_name = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(wrong.casefold(), by_folded_name, n=1, cutoff=0.5)
    return f' Did you mean "{by_folded_name[close[0]]}"?' if close else ""


def first_line(error: Exception, most: int = 200) -> str:
    """The first line of an error's text, at most so many characters; its class where it says nothing."""
    return str(error).strip().partition("\n")[0][:most] or type(error).__name__


def last_line(error: Exception) -> str:
    """The last line of an error's text, where torch says what does not fit."""
    return str(error).strip().rpartition("\n")[2].strip()
