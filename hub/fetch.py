"""Fetching from the Hub: each file once, resumed and checked."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from functools import lru_cache
from glob import has_magic
from pathlib import Path

from huggingface_hub.hf_api import RepoFile

from ..core.errors import UsageError
from . import cache
from .address import Address, parse
from .cache import fill
from .client import Hub
from .repository import Repository, download

_AT_A_TIME = 8
_KEEP_DATASET_S = 7 * 24 * 3600.0  # its files are opened by name all along a run; others are fetched again if need be


def places(text: str, suffixes: Sequence[str]) -> list[cache.Place]:
    """Return the files that a name on the Hub means, see `source_files.find`."""
    address = parse(text)
    repository, commit = _at(address)
    files = repository.files(commit)
    if address.path in files:
        found = [address.path]
    elif has_magic(address.path):
        found = [path for path in files if _matches(path.split("/"), address.path.split("/"))]
    else:
        inside = [path for path in files if path.rpartition("/")[0] == address.path]
        found = [path for path in inside if path.lower().endswith(tuple(suffixes))]
    return [cache.Place(address.repo_id, commit, path) for path in found]


def fetch_file(place: cache.Place) -> None:
    """Bring one file to its place, and make room for it."""
    repository = Repository(Hub(), place.repo_id)
    found = repository.some_files([place.path], place.commit).get(place.path)
    if found is None:
        raise UsageError(repository.where, f"has no file {place.path} at commit {place.commit}")
    cache.make_room(found.size)
    _fetch(repository, found, place)


@lru_cache  # one command asks more than once, and must not see another commit the next time
def fetch_dataset(text: str, force: bool) -> Path:
    """Bring all files of a dataset to their places, see `source_files.local_dataset`."""
    address = parse(text)
    repository, commit = _at(address)
    prefix = f"{address.path}/" if address.path else ""
    below = {path: file for path, file in repository.files(commit).items() if path.startswith(prefix)}
    files = {path: file for path, file in below.items() if not path.startswith(".")}
    if not files:
        raise UsageError(text, "contains no files", "a dataset")
    found = [cache.Place(address.repo_id, commit, path) for path in files]
    if force:
        for place in found:
            place.file.unlink(missing_ok=True)
    missing = [place for place in found if not cache.is_complete(place.file)]
    cache.make_room(sum(files[place.path].size for place in missing))
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        list(threads.map(lambda place: _fetch(repository, files[place.path], place), missing))
    for place in found:
        cache.keep(place.file, _KEEP_DATASET_S)
    return cache.folder() / address.repo_id / commit / address.path


def dataset_place(text: str) -> Path:
    """Return where a dataset belongs, see `source_files.dataset_place`."""
    address = parse(text)
    _, commit = _at(address)
    return cache.folder() / address.repo_id / commit / address.path


def _fetch(repository: Repository, file: RepoFile, place: cache.Place) -> None:
    fill(place.file, lambda incomplete: download(repository, file, place.commit, incomplete))


def _at(address: Address) -> tuple[Repository, str]:
    """Return the repository and the commit of an address."""
    repository = Repository(Hub(), address.repo_id)
    return repository, str(repository.info(address.revision).sha)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
