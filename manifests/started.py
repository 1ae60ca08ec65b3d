"""command.json: the command that took a run up last."""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from ..core.commit import write_file
from .reading import read_json, undamaged


@dataclass(frozen=True, slots=True)
class Started:
    """Who took a run up, where and when.

    Attributes:
        time: Seconds since the epoch.
        user: Their name on that machine, or their number where it has none.
        host: That machine.
    """

    time: float
    user: str
    host: str

    @classmethod
    def now(cls) -> Self:
        """Return this process's user and machine, and the time."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # containers know numbers only
            user = str(os.getuid())
        return cls(time.time(), user, socket.gethostname())

    def write(self, path: Path) -> None:
        """Write command.json, whole or not at all."""
        write_file(path, json.dumps(asdict(self)).encode())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read command.json."""
        with undamaged(path):
            return cls(**read_json(path))
