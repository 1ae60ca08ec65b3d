"""Source file: a recording, as it was when it was found."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://.*", re.DOTALL)


def is_remote(text: str) -> bool:
    """True for an address, PROTOCOL://…, of the Hub or anywhere else."""
    return _ADDRESS.fullmatch(text) is not None


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
