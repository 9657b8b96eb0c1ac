"""What goes wrong between a user and Kaggle, and what to do about it.

No message quotes the client's own: they hold signed addresses, which open a file to anybody who reads them.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from morelli.errors import MorelliError

RULES = "https://www.kaggle.com/c/painter-by-numbers/rules"
TOKENS = "https://www.kaggle.com/settings/api"
_HOW_TO_SIGN_IN = (
    f"Make a token at {TOKENS} and set KAGGLE_API_TOKEN to it (or save it in ~/.kaggle/access_token); "
    "an older key goes into KAGGLE_USERNAME and KAGGLE_KEY, or into ~/.kaggle/kaggle.json."
)
_KEPT = "What arrived is kept: run the same command again and it goes on from there."


@contextmanager
def explained(out: Path) -> Iterator[None]:
    """Turn the client's errors into :class:`MorelliError` with the next step.

    ``from None``: the client's errors quote signed addresses, and a traceback would show them.
    """
    try:
        yield
    except SystemExit:  # the client's way to say that it found no credentials
        raise MorelliError(_not_signed_in()) from None
    except requests.exceptions.HTTPError as error:
        raise MorelliError(_refused(_status(error))) from None
    except requests.exceptions.RequestException as error:
        raise MorelliError(
            f"Kaggle cannot be reached ({type(error).__name__}). Check the network, a proxy (HTTPS_PROXY) or a "
            f"firewall. {_KEPT}"
        ) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise MorelliError(f"The disk of {out} is full. Make room. {_KEPT}") from error
        raise MorelliError(f"{out} cannot be written: {error}. Choose another folder with --out.") from error


def _not_signed_in() -> str:
    from kagglesdk.kaggle_env import get_access_token_from_env

    token, place = get_access_token_from_env()
    if token:
        where = place if place == "KAGGLE_API_TOKEN" else "~/.kaggle/access_token"
        return f"Kaggle does not accept the token in {where}: it is mistyped, expired or withdrawn. {_HOW_TO_SIGN_IN}"
    return f"No Kaggle credentials were found. {_HOW_TO_SIGN_IN} An account is free."


def _status(error: requests.exceptions.HTTPError) -> int:
    """The HTTP status, also where the client found it in the body of an answer."""
    if error.response is None:
        return 0
    if error.response.status_code < 400:
        return int(error.response.json().get("code", 0))
    return error.response.status_code


def _refused(status: int) -> str:
    if status == 401:
        return f"Kaggle does not accept the credentials (401). {_HOW_TO_SIGN_IN}"
    if status == 403:
        return (
            f"Kaggle refuses the files (403): accept the competition's rules at {RULES}, signed in as the account "
            "whose token you use, then run the same command again."
        )
    if status == 404:
        return f"Kaggle does not know the competition or the file (404). See {RULES.removesuffix('/rules')}/data."
    if status == 429:
        return f"Kaggle asks for a pause: too many requests (429). Wait some minutes. {_KEPT}"
    return f"Kaggle answered with status {status}. Try again later. {_KEPT}"
