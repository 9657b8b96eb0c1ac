"""What the tests' servers share: a port of 127.0.0.1, served in a thread while the block lasts."""

from http.server import ThreadingHTTPServer
from threading import Thread
from typing import Self


class LocalServer:
    """To be used in a ``with``; :meth:`_listening` says what answers."""

    def _listening(self) -> ThreadingHTTPServer:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._server = self._listening()
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"
