"""Files of the Hub as local ones: fetched when they are needed, each once, resumed and checked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from functools import lru_cache
from glob import has_magic
from pathlib import Path

from huggingface_hub.hf_api import RepoFile

from ..core.errors import RunLocked, UsageError
from ..core.lease import lease
from . import cache
from .address import is_on_hub, parse
from .client import Hub
from .download import INCOMPLETE, download
from .repository import Repository

_AT_A_TIME = 8
_WAIT_S = 0.5
_KEEP_DATASET_S = 7 * 24 * 3600.0  # its files are opened by name all along a run; others are fetched again if need be


def find(text: str, suffixes: Sequence[str]) -> list[Path]:
    """Return the places of the files that a name, a folder or a pattern on the Hub means; nothing is fetched yet.

    Args:
        text: hf://datasets/OWNER/NAME[@REVISION]/PATH.
        suffixes: Of a folder, the files right in it that end like this.
    """
    address = parse(text)
    repository, commit = _at(address.repo_id, address.revision)
    files = repository.files(commit)
    if address.path in files:
        found = [address.path]
    elif has_magic(address.path):
        found = [path for path in files if _matches(path.split("/"), address.path.split("/"))]
    else:
        inside = [path for path in files if path.rpartition("/")[0] == address.path]
        found = [path for path in inside if path.endswith(tuple(suffixes))]
    return [cache.Place(address.repo_id, commit, path).file for path in found]


def present(file: Path) -> Path:
    """Return a file, fetched if it is one of the Hub and not here; others are returned as they are."""
    place = cache.place_of(file)
    if place is None:
        return file
    if not cache.is_complete(file):
        repository = Repository(Hub(), place.repo_id)
        found = repository.some_files([place.path], place.commit).get(place.path)
        if found is None:
            raise UsageError(repository.where, f"has no file {place.path} at commit {place.commit}")
        cache.make_room(found.size)
        _fetch(repository, found, place)
    cache.keep(file, 0)
    return file


def is_fetched(file: Path) -> bool:
    """True for the place of a file of the Hub, which is there or can be fetched again, always the same."""
    return cache.place_of(file) is not None


def local_dataset(text: str, *, force: bool = False) -> Path:
    """Return the folder of a dataset, fetched if it is on the Hub.

    Args:
        text: A folder, or hf://datasets/OWNER/NAME[@REVISION][/PATH].
        force: Fetch again what is here.
    """
    return _dataset(text, force) if is_on_hub(text) else Path(text)


@lru_cache  # one command asks more than once, and must not see another commit the next time
def _dataset(text: str, force: bool) -> Path:
    address = parse(text)
    repository, commit = _at(address.repo_id, address.revision)
    prefix = f"{address.path}/" if address.path else ""
    below = {path: file for path, file in repository.files(commit).items() if path.startswith(prefix)}
    files = {path: file for path, file in below.items() if not path.startswith(".")}
    if not files:
        raise UsageError(text, "there is nothing there", "a dataset")
    places = {path: cache.Place(address.repo_id, commit, path) for path in files}
    if force:
        for place in places.values():
            place.file.unlink(missing_ok=True)
    missing = [path for path, place in places.items() if not cache.is_complete(place.file)]
    cache.make_room(sum(files[path].size for path in missing))
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        list(threads.map(lambda path: _fetch(repository, files[path], places[path]), missing))
    for place in places.values():
        cache.keep(place.file, _KEEP_DATASET_S)
    return cache.folder() / address.repo_id / commit / address.path


def _fetch(repository: Repository, file: RepoFile, place: cache.Place) -> None:
    target = place.file
    target.parent.mkdir(parents=True, exist_ok=True)
    incomplete = target.with_name(target.name + INCOMPLETE)
    while not cache.is_complete(target):
        try:
            with lease(target.with_name(target.name + ".lock")):
                if not cache.is_complete(target):
                    download(repository, file, place.commit, incomplete)
                    cache.seal(incomplete, target)
        except RunLocked:  # another process fetches it
            time.sleep(_WAIT_S)


def _at(repo_id: str, revision: str) -> tuple[Repository, str]:
    repository = Repository(Hub(), repo_id)
    return repository, str(repository.info(revision).sha)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
