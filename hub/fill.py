"""Filling the cache: one process brings a file to its place, others wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ..core.errors import RunLocked
from ..core.lease import lease
from . import cache

INCOMPLETE = ".incomplete"
_WAIT_S = 0.5


def fill(target: Path, complete: Callable[[Path], None]) -> None:
    """Have a file brought to its place, unless it is there.

    Args:
        target: The place.
        complete: Brings what is missing of the file to the path that it is given, which keeps it if that breaks off.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    incomplete = target.with_name(target.name + INCOMPLETE)
    while not cache.is_complete(target):
        try:
            with lease(target.with_name(target.name + ".lock")):
                if not cache.is_complete(target):
                    complete(incomplete)
                    cache.seal(incomplete, target)
        except RunLocked:  # another process fetches it
            time.sleep(_WAIT_S)
