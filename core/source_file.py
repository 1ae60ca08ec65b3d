"""Source file: a recording, as it was when it was found."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from .errors import UsageError

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://.*", re.DOTALL)


def is_remote(text: str) -> bool:
    """True for an address, PROTOCOL://…, of the Hub or anywhere else."""
    return _ADDRESS.fullmatch(text) is not None


def files_below(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Return the files in a folder and below that end in one of the suffixes, in upper or lower case.

    Hidden folders, unfinished outputs (`NAME.partial…`) and LeRobot datasets below the folder are not searched: what a
    conversion left there is no recording. A folder that links lead to again is searched once.

    Raises:
        UsageError: If a folder cannot be read: its recordings would be missing without a word.
    """
    found: list[Path] = []
    searched: set[str] = set()
    for name, folders, files in os.walk(folder, onerror=_unreadable, followlinks=True):
        place = Path(name)
        is_dataset = place != folder and os.path.exists(place / "meta/info.json")
        if is_dataset or (real := os.path.realpath(place)) in searched:
            folders.clear()
            continue
        searched.add(real)
        found += [place / file for file in files if os.path.splitext(file)[1].lower() in suffixes]
        # Links come last, so that a folder keeps its own name.
        folders[:] = sorted(filter(_is_searched, folders), key=lambda inner: ((place / inner).is_symlink(), inner))
    return found


def _is_searched(folder: str) -> bool:
    return not (folder.startswith(".") or folder.endswith(".partial") or ".partial-" in folder)


def _unreadable(exc: OSError) -> None:
    raise UsageError(str(exc.filename), f"cannot be read: {exc.strerror}", "a folder of recordings") from exc


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file on this machine.

    Attributes:
        path: Its absolute path.
        size: Bytes when it was planned; 0 before that, and for a missing file.
        mtime_ns: Modification time when it was planned, in ns since the epoch; 0 likewise.
        origin: The address that it is fetched from; empty for a file of this machine.
    """

    path: Path
    size: int = 0
    mtime_ns: int = 0
    origin: str = ""

    @property
    def name(self) -> Path:
        """The path that people know it by."""
        return self.path

    def open(self) -> Path:
        """Return the path of the file, fetched if it is remote and not here.

        Raises:
            FileNotFoundError: If a remote file is missing, or another one by now.
            RobotroveError: If the place that has it does not answer.
        """
        return self.path

    def measured(self) -> Self:
        """Return the file with its current size and time."""
        try:
            state = os.stat(self.open())
        except OSError:
            return replace(self, size=0, mtime_ns=0)
        return replace(self, size=state.st_size, mtime_ns=state.st_mtime_ns)

    def is_changed(self) -> bool:
        """True if the file is no longer as it was planned.

        Raises:
            OSError: If it is missing.
        """
        state = os.stat(self.path)
        return (state.st_size, state.st_mtime_ns) != (self.size, self.mtime_ns)


def files_text(paths: Iterable[Path]) -> str:
    """Return files as they are now, with size and time, as JSON for the manifest; empty without any."""
    files = [SourceFile(path).measured() for path in sorted(paths)]
    return json.dumps([(str(file.path), file.size, file.mtime_ns) for file in files]) if files else ""


def read_files(text: str) -> list[tuple[Path, int, int]]:
    """Return path, size and time of each file of `files_text`."""
    return [(Path(path), size, mtime_ns) for path, size, mtime_ns in json.loads(text or "[]")]
