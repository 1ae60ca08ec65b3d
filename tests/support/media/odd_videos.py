"""Videos that are read packet by packet, not by their tables."""

from __future__ import annotations

from pathlib import Path

from robotrove.media.mp4.boxes import box


def make_odd(path: Path) -> Path:
    """Append a box that nobody knows, which is why nothing is taken for granted about this file."""
    with path.open("ab") as file:
        file.write(box(b"odd "))
    return path
