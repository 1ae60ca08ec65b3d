"""Reading what a run has written down, with a way on where it is damaged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core.errors import RobotroveError


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Turn what a damaged file raises into an error that says how to go on."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError) as exc:
        raise RobotroveError(
            str(path),
            f"is damaged or gone: {type(exc).__name__}: {exc}",
            "a file as robotrove wrote it",
            "put it back, or repeat the command with --fresh, which moves this run aside and starts over",
        ) from exc


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
