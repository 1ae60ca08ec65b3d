"""Packages that are there where a run was created, and missing where its ranks run."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..core.errors import RobotroveError


@contextmanager
def packages_needed() -> Iterator[None]:
    """Say in words which machine lacks a package, and what to do.

    Raises:
        RobotroveError: If the block could not import one.
    """
    try:
        yield
    except ImportError as exc:
        raise RobotroveError(
            f"{sys.executable} on {socket.gethostname()}",
            str(exc),
            "every package that robotrove needs",
            "install robotrove there, or leave that machine out, and resume the run",
        ) from exc
