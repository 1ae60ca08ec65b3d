"""Large files of the Hub of the tests: batch, transfer in one or many parts, verify."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

from .messages import PIECE, Answer, Refused, Request
from .store import Repository


class Transfers:
    """Takes large files and counts what came.

    Args:
        url: Address of the server.
        part_size: Files over this size come in parts of it.

    Attributes:
        sent: sha256 to how often a whole file of it was sent.
        received: Bytes of all bodies, those of broken transfers included.
        quota: Bytes that a repository may hold.
    """

    def __init__(self, url: str, part_size: int) -> None:
        self.sent: Counter[str] = Counter()
        self.received = 0
        self.quota: int | None = None
        self._url = url
        self._part_size = part_size
        self._lock = threading.Lock()

    def batch(self, name: str, repository: Repository, request: Request) -> Answer:
        objects = request.json()["objects"]
        wanted = sum(one["size"] for one in objects if not repository.large(one["oid"]).exists())
        held = sum(path.stat().st_size for path in repository.objects.iterdir())
        if self.quota is not None and held + wanted > self.quota:
            raise Refused(403, "Private repository storage limit reached, please upgrade your plan")
        found = [self._instructions(name, repository, one["oid"], one["size"]) for one in objects]
        return Answer.of({"transfer": "basic", "objects": found})

    def _instructions(self, name: str, repository: Repository, oid: str, size: int) -> dict[str, Any]:
        if repository.large(oid).exists():
            return {"oid": oid, "size": size}
        place = f"{self._url}/storage/{name}/{oid}"
        header: dict[str, str] = {}
        upload = {"href": place}
        if size > self._part_size:
            parts = range(1, ceil(size / self._part_size) + 1)
            header = {"chunk_size": str(self._part_size), **{str(part): f"{place}/{part}" for part in parts}}
            upload = {"href": f"{place}/complete", "header": header}  # type: ignore[dict-item]
        verify = {"href": f"{self._url}/datasets/{name}.git/info/lfs/objects/verify"}
        return {"oid": oid, "size": size, "authenticated": True, "actions": {"upload": upload, "verify": verify}}

    def whole(self, repository: Repository, oid: str, request: Request) -> Answer:
        """Take a file in one part."""
        attempt = repository.root / f"{oid}.{threading.get_ident()}"
        self._write(attempt, 0, request)
        self._finish(repository, oid, attempt)
        return Answer()

    def part(self, repository: Repository, oid: str, number: int, request: Request) -> Answer:
        self._write(repository.root / oid, (number - 1) * self._part_size, request)
        return Answer(headers={"ETag": f'"{oid[:8]}-{number}"'})

    def complete(self, repository: Repository, oid: str, request: Request) -> Answer:
        parts = request.json()["parts"]
        if [part["etag"] for part in parts] != [f'"{oid[:8]}-{part["partNumber"]}"' for part in parts]:
            raise Refused(400, "other parts were sent")
        self._finish(repository, oid, repository.root / oid)
        return Answer()

    def verify(self, repository: Repository, request: Request) -> Answer:
        found = request.json()
        path = repository.large(found["oid"])
        if not path.exists() or path.stat().st_size != found["size"]:
            raise Refused(404, "there is no such object")
        return Answer.of({})

    def _write(self, path: Path, first: int, request: Request) -> None:
        """Write a body at an offset; zeros become a hole, so that a sparse file stays sparse."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            for piece in request.pieces():
                with self._lock:
                    self.received += len(piece)
                if piece.count(0) != len(piece):
                    os.pwrite(descriptor, piece, first)
                first += len(piece)
                if os.fstat(descriptor).st_size < first:
                    os.ftruncate(descriptor, first)
        finally:
            os.close(descriptor)

    def _finish(self, repository: Repository, oid: str, attempt: Path) -> None:
        digest = hashlib.sha256()
        for piece in _pieces(attempt):
            digest.update(piece)
        if digest.hexdigest() != oid:
            raise Refused(400, "the content is another than its sha256 says")
        with self._lock:
            self.sent[oid] += 1
        os.replace(attempt, repository.large(oid))


def _pieces(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as stream:
        while piece := stream.read(PIECE):
            yield piece
