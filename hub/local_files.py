"""Local files of a dataset, with sizes and digests, ready to push."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitOperationAdd
from huggingface_hub.hf_api import RepoFile

from ..core.errors import RobotroveError, UsageError, printable
from ..core.workspace import dataset_homes

_PIECE = 1 << 20
_SHOWN = 5


class LocalFiles:
    """Files below a folder, hidden ones left out, and some that are in memory only.

    Args:
        root: The folder.
        extra: Path to content of further files; one on disk goes before them.
        follow_links: Whether files behind links that lead out of the folder belong to them.

    Attributes:
        sizes: Path, relative and with slashes, to size; in order of the paths.

    Raises:
        UsageError: As `files_to_send` does.
    """

    def __init__(self, root: Path, extra: Mapping[str, bytes], *, follow_links: bool = False) -> None:
        self._root = root
        self._behind: dict[str, str] = {}  # those behind links only: there may be many others
        on_disk: dict[str, int] = {}
        home = os.path.realpath(root)
        for path, real, size in files_to_send(root, follow_links=follow_links):
            on_disk[path] = size
            if real != os.path.join(home, path):
                self._behind[path] = real
        self._extra = {path: content for path, content in extra.items() if path not in on_disk}
        sizes = on_disk | {path: len(content) for path, content in self._extra.items()}
        self.sizes: dict[str, int] = dict(sorted(sizes.items()))
        self._sha256: dict[str, str] = {}

    def operation(self, path: str) -> CommitOperationAdd:
        """Return the addition of a file to a commit."""
        with self._reading(path):
            return CommitOperationAdd(path, self._extra.get(path) or self._place(path))

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
                yield from pieces(Path(self._place(path)))

    def _place(self, path: str) -> str:
        """Return the path by which a file is opened: where links lead to it, the one that was checked."""
        return self._behind.get(path) or str(self._root / path)

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


def files_to_send(root: Path, *, follow_links: bool) -> Iterator[tuple[str, str, int]]:
    """Yield path, real path and size of each file below a folder, hidden ones left out; none is opened.

    Args:
        root: The folder.
        follow_links: Whether links may lead out of it; those of the Hub's cache to its own blobs always may.

    Raises:
        UsageError: At the end, if links lead out of the folder, nowhere or in a circle, or if something is neither a
            file nor a folder.
    """
    homes = dataset_homes(root)
    outside, unusable = [], []
    folders: list[tuple[str, tuple[str, ...]]] = [("", (homes[0],))]  # with the real ones that each is in
    while folders:
        folder, above = folders.pop()
        for entry in os.scandir(above[-1]):
            path = folder + entry.name
            real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
            if entry.name.startswith("."):
                continue
            if not follow_links and not any(f"{real}{os.sep}".startswith(home + os.sep) for home in homes):
                outside.append(f"{path} -> {real}")
            elif os.path.isfile(real):
                yield path, real, os.stat(real).st_size
            elif os.path.isdir(real) and real not in above:
                folders.append((f"{path}/", (*above, real)))
            else:
                unusable.append(path if real == entry.path else f"{path} -> {real}")
    if unusable:
        raise UsageError(
            str(root),
            _listed(
                "contains what is neither a file nor a folder, or links that lead nowhere or in a circle", unusable
            ),
            "files and folders",
            "remove them",
        )
    if outside:
        raise UsageError(
            str(root),
            _listed("would send files from outside of the dataset", outside),
            "files that are in the dataset",
            "copy them into it, or send them on purpose: --follow-links (follow_links: true in a pipeline)",
        )


def _listed(found: str, paths: Sequence[str]) -> str:
    shown = [printable(path) for path in sorted(paths)[:_SHOWN]]
    more = [f"and {len(paths) - _SHOWN} more"] if len(paths) > _SHOWN else []
    return "\n    ".join([f"{found}:", *shown, *more])
