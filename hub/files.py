"""Files wherever they are: those of the Hub are fetched when they are needed.

huggingface_hub takes a second to import, and most files are local: it is imported for those of the Hub only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from . import cache
from .address import is_on_hub


def find(text: str, suffixes: Sequence[str]) -> list[Path]:
    """Return the places of the files that a name, a folder or a pattern on the Hub means; nothing is fetched yet.

    Args:
        text: hf://datasets/OWNER/NAME[@REVISION]/PATH.
        suffixes: Of a folder, the files right in it that end like this.
    """
    from .fetch import places

    return [place.file for place in places(text, suffixes)]


def present(file: Path) -> Path:
    """Return a file, fetched if it is one of the Hub and not here; others are returned as they are."""
    place = cache.place_of(file)
    while place is not None and not cache.keep(file, 0):
        from .fetch import fetch_file

        fetch_file(place)
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
    if not is_on_hub(text):
        return Path(text)
    from .fetch import fetch_dataset

    return fetch_dataset(text, force)
