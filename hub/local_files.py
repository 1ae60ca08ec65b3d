"""Local files of a dataset, with sizes and digests, ready to push."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitOperationAdd
from huggingface_hub.hf_api import RepoFile

from ..core.errors import RobotroveError

_PIECE = 1 << 20


class LocalFiles:
    """Files below a folder, hidden ones left out, and some that are in memory only.

    Args:
        root: The folder.
        extra: Path to content of further files; one on disk goes before them.

    Attributes:
        sizes: Path, relative and with slashes, to size; in order of the paths.
    """

    def __init__(self, root: Path, extra: Mapping[str, bytes]) -> None:
        self._root = root
        on_disk = dict(_sizes(root))
        self._extra = {path: content for path, content in extra.items() if path not in on_disk}
        sizes = on_disk | {path: len(content) for path, content in self._extra.items()}
        self.sizes: dict[str, int] = dict(sorted(sizes.items()))
        self._sha256: dict[str, str] = {}

    def operation(self, path: str) -> CommitOperationAdd:
        """Return the addition of a file to a commit."""
        with self._reading(path):
            return CommitOperationAdd(path, self._extra.get(path) or str(self._root / path))

    def remember(self, operation: CommitOperationAdd) -> None:
        """Keep the digest that an addition had to know, so that the file is not read again for it."""
        self._sha256[operation.path_in_repo] = operation.upload_info.sha256.hex()

    def is_made(self, path: str) -> bool:
        """True for a file that is in memory only."""
        return path in self._extra

    def leave_out(self, path: str) -> None:
        """Do not push a file."""
        del self.sizes[path]

    def digest(self) -> str:
        """Return the digest of all paths and contents."""
        text = "".join(f"{self.sha256(path)} {path}\n" for path in self.sizes)
        return hashlib.sha256(text.encode()).hexdigest()

    def sha256(self, path: str) -> str:
        """Return the digest of a file's content."""
        if path not in self._sha256:
            self._sha256[path] = digest_of("sha256", self._pieces(path))
        return self._sha256[path]

    def is_same(self, path: str, remote: RepoFile | None) -> bool:
        """True if a file on the Hub has the size and the content of the one here."""
        if remote is None or remote.size != self.sizes[path]:
            return False
        if remote.lfs is not None:
            return bool(remote.lfs.sha256 == self.sha256(path))
        return bool(remote.blob_id == git_digest(remote.size, self._pieces(path)))

    def _pieces(self, path: str) -> Iterator[bytes]:
        if path in self._extra:
            yield self._extra[path]
        else:
            with self._reading(path):
                yield from pieces(self._root / path)

    @contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as exc:  # huggingface_hub says the latter of a file that is gone
            where, expected = str(self._root / path), "a dataset that does not change during the push"
            raise RobotroveError(
                where, f"cannot be read: {exc}", expected, "restore it, then rerun the command"
            ) from exc


def pieces(path: Path) -> Iterator[bytes]:
    """Yield the content of a file."""
    with open(path, "rb") as stream:
        while piece := stream.read(_PIECE):
            yield piece


def digest_of(kind: str, content: Iterator[bytes], head: bytes = b"") -> str:
    """Return a digest of some content."""
    digest = hashlib.new(kind, head)
    for piece in content:
        digest.update(piece)
    return digest.hexdigest()


def git_digest(size: int, content: Iterator[bytes]) -> str:
    """Return what git calls some content."""
    return digest_of("sha1", content, b"blob %d\0" % size)


def _sizes(root: Path) -> Iterator[tuple[str, int]]:
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                path = Path(folder, name)
                yield path.relative_to(root).as_posix(), path.stat().st_size
