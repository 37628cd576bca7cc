"""A server that is slow on purpose."""

from __future__ import annotations

import contextlib
import socket
import threading
import time


class Loris:
    """A server that says the beginning at once, then one byte of the rest every few milliseconds."""

    def __init__(self, beginning: bytes, rest: bytes, every: float = 0.01) -> None:
        self.sent = 0
        self.asked: list[bytes] = []
        self._beginning, self._rest, self._every = beginning, rest, every
        self._socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            self.asked.append(line.recv(65536))
            line.sendall(self._beginning)
            for number in range(100_000):
                line.sendall(self._rest[number % len(self._rest) :][:1])
                self.sent += 1
                time.sleep(self._every)
