"""The files that were fetched: where each is, which are complete, and room for more.

The place of a file says which one it is: hub/OWNER/NAME/COMMIT/PATH, or elsewhere/VERSION/PROTOCOL/PATH, below the
folder of ROBOTROVE_CACHE. So whoever finds it gone can fetch it again. A complete file is never changed; its
modification time is 0, the same on every machine and after every fetch, and its access time says how long it is kept
when room is needed.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from ..core.errors import RobotroveError, RunLocked, UsageError
from ..core.lease import lease

_COMMIT = re.compile(r"[0-9a-f]{40}")
_DEFAULT_GB = 100.0
_GIVEN_UP_S = 24 * 3600.0

INCOMPLETE = ".incomplete"
_WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Place:
    """Place of a file of the Hub in the cache.

    Attributes:
        repo_id: OWNER/NAME.
        commit: The commit.
        path: Inside of the repository.
    """

    repo_id: str
    commit: str
    path: str

    @property
    def url(self) -> str:
        """Its address."""
        return f"hf://datasets/{self.repo_id}@{self.commit}/{self.path}"

    @property
    def file(self) -> Path:
        """Path of the file, whether it exists or not."""
        place = folder() / self.repo_id / self.commit / self.path
        if not place.resolve().is_relative_to(folder().resolve()) or "\\" in self.path:
            raise RobotroveError(f"dataset {self.repo_id} on the Hub", f"has a file with the name {self.path!r}")
        return place


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Place in the cache of a file that fsspec reads.

    Attributes:
        version: 40 hexadecimal digits that are others when the file is.
        protocol: Such as s3.
        path: What follows `protocol://`.
    """

    version: str
    protocol: str
    path: str

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.protocol}://{self.path}"

    @property
    def file(self) -> Path:
        """Path of the file, whether it exists or not."""
        quoted = quote(self.path[:1], safe="") + quote(self.path[1:])  # a slash at the beginning would be lost
        if not {"", ".", ".."}.isdisjoint(quoted.split("/")):
            raise RobotroveError(self.url, "is not a possible file name here")
        return folder("elsewhere") / self.version / self.protocol / quoted


def folder(name: str = "hub") -> Path:
    """Return the folder of what was fetched from the Hub, or from elsewhere."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    chosen = os.environ.get("ROBOTROVE_CACHE") or os.path.join(home, "robotrove")
    return Path(os.path.abspath(os.path.expanduser(chosen))) / name


def place_of(file: Path) -> Place | Elsewhere | None:
    """Return which file belongs to a path, None for one that is no place of this cache."""
    if file.is_relative_to(folder("elsewhere")):
        version, protocol, *rest = (*file.relative_to(folder("elsewhere")).parts, "", "")
        url_path = unquote("/".join(filter(None, rest)))
        return Elsewhere(version, protocol, url_path) if _COMMIT.fullmatch(version) and url_path else None
    if not file.is_relative_to(folder()):
        return None
    owner, name, commit, *path = (*file.relative_to(folder()).parts, "", "", "")
    path = [part for part in path if part]
    return Place(f"{owner}/{name}", commit, "/".join(path)) if _COMMIT.fullmatch(commit) and path else None


def is_complete(file: Path) -> bool:
    """True if a file was fetched whole and checked."""
    try:
        return file.stat().st_mtime_ns == 0
    except OSError:
        return False


def seal(incomplete: Path, file: Path) -> None:
    """Give a checked file its name."""
    os.utime(incomplete, ns=(time.time_ns(), 0))
    os.rename(incomplete, file)


def keep(file: Path, seconds: float) -> bool:
    """Let a complete file stay for some time even where room is needed; return False if it is not there."""
    try:
        state = file.stat()
        with suppress(PermissionError):  # somebody else's, in a cache that is shared
            if state.st_mtime_ns == 0:
                os.utime(file, ns=(max(state.st_atime_ns, time.time_ns() + int(seconds * 1e9)), 0))
    except FileNotFoundError:
        return False
    return state.st_mtime_ns == 0


def make_room(size: int) -> None:
    """Remove the files that were not used for longest until so many bytes more are within the limit.

    The limit is ROBOTROVE_CACHE_GB, 100 by default. What is kept stays, even if that is more.
    """
    files = sorted([*_files(folder()), *_files(folder("elsewhere"))])
    total = size + sum(bytes_ for _, bytes_, _ in files)
    for until, bytes_, path in files:
        if total <= _limit() or until > time.time_ns():
            break
        with suppress(FileNotFoundError):  # another process was faster
            os.unlink(path)
        total -= bytes_


def _limit() -> float:
    text = os.environ.get("ROBOTROVE_CACHE_GB", "")
    try:
        return float(text or _DEFAULT_GB) * 1e9
    except ValueError:
        raise UsageError("ROBOTROVE_CACHE_GB", f"is {text!r}", "a number of gigabytes") from None


def _files(root: Path) -> Iterator[tuple[int, int, str]]:
    """Yield (kept until, bytes, path) of every complete file, and of what is left of fetches that broke off."""
    given_up = time.time() - _GIVEN_UP_S
    for place, _, names in os.walk(root):
        for name in names:
            path = os.path.join(place, name)
            with suppress(FileNotFoundError):
                state = os.stat(path)
                if state.st_mtime < given_up:  # those of complete files always are
                    yield state.st_atime_ns, state.st_blocks * 512, path


def fill(target: Path, complete: Callable[[Path], None]) -> None:
    """Have a file brought to its place, unless it is there.

    Args:
        target: The place.
        complete: Brings what is missing of the file to the path that it is given, which keeps it if that breaks off.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    incomplete = target.with_name(target.name + INCOMPLETE)
    while not is_complete(target):
        try:
            with lease(target.with_name(target.name + ".lock")):
                if not is_complete(target):
                    complete(incomplete)
                    seal(incomplete, target)
        except RunLocked:  # another process fetches it
            time.sleep(_WAIT_S)
