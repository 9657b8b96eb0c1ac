"""Fetch from the web: from named hosts only, retried as the server asks, never more than a limit of bytes."""

import errno
import io
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Final
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry, parse_url

from morelli._text import one_line

AT_ONCE: Final = 4
"""Requests that run at a time."""
MOST_BYTES: Final = 64 << 20
"""Of one answer."""
_LONGEST_PAUSE: Final = 120  # seconds; a server that asks for more is left for another time
_TIMEOUT: Final = (10, 60)  # seconds: to connect, and between two pieces of an answer
_SLOWEST: Final = 600  # seconds that an answer may take in all
_MOST_STEPS: Final = 5  # redirects and new tries for one address
_BUSY: Final = (429, 502, 503, 504)  # statuses of a server that may answer later
_MOST_FAILURES: Final = 3  # addresses without an answer in a row, after which nothing more is asked in this run
_PIECE: Final = 1 << 16


class FetchError(OSError):
    """Something cannot be fetched now; another time it may."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.EIO, one_line(why))

    def __str__(self) -> str:
        return str(self.strerror)


class AnsweredError(FetchError):
    """The server answered, but not with what was asked for."""


class _Patient(Retry):
    """Waits as long as the server asks, within bounds, and else longer each time."""

    def parse_retry_after(self, retry_after: str) -> float:
        return min(super().parse_retry_after(retry_after), _LONGEST_PAUSE)


class Web:
    """A connection to some hosts, each ``name`` or ``name:port``, or all of them in one text."""

    def __init__(self, hosts: str | Sequence[str]) -> None:
        given = hosts.split() if isinstance(hosts, str) else filter(None, hosts)
        self.hosts = [host_of(host) or host.lower() for host in given]
        self._session = requests.Session()
        self.close = self._session.close
        self._session.headers["User-Agent"] = f"morelli/{version('morelli')}"
        self._failures = 0
        retry = _Patient(4, connect=2, status_forcelist=_BUSY, backoff_factor=0.5, raise_on_status=False)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def get(self, address: str) -> bytes:
        """What lies at an address.

        Raises:
            FetchError: it is on no host of these, or is redirected to one; no answer, or one that is too large.
            AnsweredError: the server refuses, or has no such thing.
        """
        asked, told = address, "is"
        for _ in range(_MOST_STEPS):
            if (host := host_of(address)) not in self.hosts:
                raise FetchError(f"{asked} {told} on another host; if you trust it: --allow-host {host or '?'}")
            if self._failures >= _MOST_FAILURES:
                raise FetchError(f"{asked} was not asked for, as {_MOST_FAILURES} before it had no answer")
            try:
                with self._session.get(address, stream=True, allow_redirects=False, timeout=_TIMEOUT) as answer:
                    if answer.is_redirect:
                        address, told = urljoin(address, answer.headers["Location"]), "is redirected to a place"
                        continue
                    self._failures = self._failures + 1 if answer.status_code in _BUSY else 0
                    if answer.status_code != 200:
                        kind = FetchError if self._failures else AnsweredError
                        raise kind(f"{asked} answers with status {answer.status_code}")
                    return _body(answer, asked)
            except requests.exceptions.ChunkedEncodingError:
                told = "is cut off"
            except (requests.RequestException, ValueError) as error:
                self._failures += 1
                raise FetchError(f"{asked} cannot be fetched: {type(error).__name__}") from error
        raise FetchError(f"{asked} {told} again and again")


def _body(answer: requests.Response, asked: str) -> bytes:
    body, started = io.BytesIO(), time.monotonic()
    for piece in answer.iter_content(_PIECE):
        body.write(piece)
        if body.tell() > MOST_BYTES:
            raise AnsweredError(f"{asked} answers with more than {MOST_BYTES:,} bytes")
        if time.monotonic() - started > _SLOWEST:
            raise FetchError(f"{asked} took more than {_SLOWEST} s")
    return body.getvalue()


def host_of(address: str) -> str:
    """``name``, or ``name:port`` where that is not the usual one; empty for what is no address of the web."""
    with suppress(ValueError):
        parts = parse_url(address)  # as requests takes it apart
        if parts.host and (usual := {"http": 80, "https": 443}.get(parts.scheme or "")):
            return parts.host if parts.port in (None, usual) else f"{parts.host}:{parts.port}"
    return ""
