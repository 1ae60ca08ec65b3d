"""What goes in and out of the Hub of the tests: requests read piece by piece, answers that may be a part of a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPMessage
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs

PIECE = 1 << 20


class Cut(Exception):
    """The connection is to be closed now, without a word."""


@dataclass
class Request:
    """One request; its body is read once, in pieces.

    Attributes:
        user: Whose token it bears, None without one.
        cut_after: Close the connection after so many bytes of the body.
        received: Bytes of the body read so far.
    """

    method: str
    path: str
    query: str
    headers: HTTPMessage
    source: BinaryIO
    user: str | None = None
    cut_after: int | None = None
    received: int = 0
    _is_over: bool = False

    @property
    def parameters(self) -> Mapping[str, str]:
        return {key: values[-1] for key, values in parse_qs(self.query).items()}

    def pieces(self) -> Iterator[bytes]:
        """Yield the body."""
        for piece in self._chunks() if "chunked" in self.headers.get("Transfer-Encoding", "") else self._measured():
            self.received += len(piece)
            if self.cut_after is not None and self.received >= self.cut_after:
                raise Cut
            yield piece

    def _measured(self) -> Iterator[bytes]:
        left = int(self.headers.get("Content-Length") or 0) - self.received
        while left > 0:
            piece = self.source.read(min(PIECE, left))
            if not piece:
                raise Cut  # by the client
            left -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while not self._is_over:
            size = int(self.source.readline().split(b";")[0] or b"0", 16)
            piece = self.source.read(size)
            self.source.readline()
            self._is_over = not piece
            yield piece

    def body(self) -> bytes:
        return b"".join(self.pieces())

    def json(self) -> Any:
        return json.loads(self.body() or b"null")

    def form(self) -> Mapping[str, list[str]]:
        return parse_qs(self.body().decode())


@dataclass
class Answer:
    """One answer; `content` is bytes, or a file."""

    status: int = 200
    content: bytes | Path = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Any, status: int = 200, **headers: str) -> Answer:
        return cls(status, json.dumps(document).encode(), {"Content-Type": "application/json", **headers})

    @property
    def size(self) -> int:
        return self.content.stat().st_size if isinstance(self.content, Path) else len(self.content)

    def part(self, first: int, length: int) -> Iterator[bytes]:
        """Yield some bytes of the content."""
        if isinstance(self.content, bytes):
            yield self.content[first : first + length]
            return
        with open(self.content, "rb") as stream:
            stream.seek(first)
            while length > 0 and (piece := stream.read(min(PIECE, length))):
                length -= len(piece)
                yield piece


class Refused(Exception):
    """An answer that says no."""

    def __init__(self, status: int, message: str, code: str = "", **more: str) -> None:
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self.answer = Answer.of({"error": message, **more}, status, **headers)
        super().__init__(message)
