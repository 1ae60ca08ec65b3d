"""Source files at any address: fetched when needed.

huggingface_hub takes a second to import, fsspec and its protocols some too, and most files are local: they are imported
for files of theirs only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from . import cache
from .address import is_on_hub


def find(text: str, suffixes: Sequence[str]) -> list[Path]:
    """Return the places of the files that a name, a folder or a pattern elsewhere means; nothing is fetched yet.

    Args:
        text: hf://datasets/OWNER/NAME[@REVISION]/PATH, or PROTOCOL://… of fsspec.
        suffixes: Of a folder, the files right in it that end like this.
    """
    if is_on_hub(text):
        from .fetch import places

        return [place.file for place in places(text, suffixes)]
    from .fsspec_files import files

    return [place.file for place in files(text, suffixes)]


def present(file: Path) -> Path:
    """Return a file, fetched if it is one of another place and not here; others are returned as they are.

    Raises:
        FileNotFoundError: If it is not there any more as it was when it was found.
    """
    place = cache.place_of(file)
    while place is not None and not cache.keep(file, 0):
        if isinstance(place, cache.Elsewhere):
            from .fsspec_files import fetch

            fetch(place)
        else:
            from .fetch import fetch_file

            fetch_file(place)
    return file


def is_fetched(file: Path) -> bool:
    """True for the place of a file from elsewhere, which is there or can be fetched again, always the same."""
    return cache.place_of(file) is not None


def named(file: Path) -> Path:
    """Return a path by which people know a file: without its version, for a file that fsspec fetched."""
    place = cache.place_of(file)
    if not isinstance(place, cache.Elsewhere):
        return file
    return cache.folder("elsewhere") / place.protocol / place.path.lstrip("/")


def dataset_place(text: str) -> Path:
    """Return the folder that a dataset on the Hub has here once it is fetched, as the Hub shows it now."""
    from .fetch import dataset_place

    return dataset_place(text)


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
