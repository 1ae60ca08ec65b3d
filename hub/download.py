"""Downloading files of a repository: resumed where they broke off, and checked against what the Hub says of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from huggingface_hub import get_token, hf_hub_url
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import build_hf_headers

from ..core.commit import sync_file
from ..core.errors import RobotroveError
from .local_files import digest_of, git_digest, pieces
from .repository import Repository

_ATTEMPTS = 2  # what came over a line that lies is removed and fetched once more


def read(repository: Repository, file: RepoFile, revision: str) -> bytes:
    """Return a small file."""

    def fetch() -> bytes:
        stream = BytesIO()
        _get(repository, file, revision, stream, 0)
        return stream.getvalue()

    return repository.hub.call(repository.where, fetch)


def download(repository: Repository, file: RepoFile, commit: str, incomplete: Path) -> None:
    """Complete what is there of a file, and check it.

    Raises:
        RobotroveError: If its content is not what the Hub says of it.
    """
    for _ in range(_ATTEMPTS):
        repository.hub.call(repository.where, partial(_append, repository, file, commit, incomplete))
        if is_right(file, pieces(incomplete)):
            sync_file(incomplete)
            return
        incomplete.unlink()
    raise RobotroveError(
        f"{repository.where}, {file.path}",
        f"came {_ATTEMPTS} times with another content than the Hub says",
        f"{file.size:,} bytes with the digest of its commit",
        "repeat the command; if it fails again, ask whoever runs the network or the repository",
    )


def is_right(file: RepoFile, content: Iterator[bytes]) -> bool:
    """True if some content is that of a file on the Hub."""
    if file.lfs is not None:
        return digest_of("sha256", content) == file.lfs.sha256
    return git_digest(file.size, content) == file.blob_id


def _append(repository: Repository, file: RepoFile, commit: str, incomplete: Path) -> None:
    with open(incomplete, "ab") as stream:
        if stream.tell() > file.size:
            stream.truncate(0)
        if stream.tell() < file.size:
            _get(repository, file, commit, stream, stream.tell())


def _get(repository: Repository, file: RepoFile, revision: str, stream: BinaryIO, first: int) -> None:
    api = repository.hub.api
    url = hf_hub_url(repository.repo_id, file.path, repo_type="dataset", revision=revision, endpoint=api.endpoint)
    http_get(url, stream, resume_size=first, headers=build_hf_headers(token=get_token()), expected_size=file.size)
