"""Source files at any address: fetched when needed.

huggingface_hub takes a second to import, fsspec and its protocols some too, and most files are local: they are imported
for files of theirs only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.source_file import SourceFile
from . import cache
from .address import is_on_hub


@dataclass(frozen=True, slots=True)
class RemoteFile(SourceFile):
    """A file that is fetched when it is opened; its path names its version, so it never changes."""

    @property
    def name(self) -> Path:
        """The path without its version, for a file that fsspec fetches."""
        place = cache.place_of(self.path)
        if not isinstance(place, cache.Elsewhere):
            return self.path
        return cache.folder("elsewhere") / place.protocol / place.path.lstrip("/")

    def open(self) -> Path:
        """See the base class."""
        place = cache.place_of(self.path)
        while not cache.keep(self.path, 0):
            if isinstance(place, cache.Elsewhere):
                from .fsspec_files import fetch

                fetch(place)
            elif place is not None:
                from .fetch import fetch_file

                fetch_file(place)
        return self.path

    def is_changed(self) -> bool:
        """See the base class."""
        return False

    def may_differ(self) -> bool:
        """See the base class."""
        return False


def find(text: str, suffixes: Sequence[str]) -> list[SourceFile]:
    """Return the files that a name, a folder or a pattern elsewhere means; nothing is fetched yet.

    Args:
        text: hf://datasets/OWNER/NAME[@REVISION]/PATH, or PROTOCOL://… of fsspec.
        suffixes: Of a folder, the files right in it that end like this, in upper or lower case.
    """
    places: Sequence[cache.Place | cache.Elsewhere]
    if is_on_hub(text):
        from .fetch import places as hub_places

        places = hub_places(text, suffixes)
    else:
        from .fsspec_files import files

        places = files(text, suffixes)
    return [RemoteFile(place.file, origin=place.url) for place in places]


def source_file(path: Path, size: int = 0, mtime_ns: int = 0, inode: int = 0, ctime_ns: int = 0) -> SourceFile:
    """Return the file at a path, a remote one if the path is a place of the cache."""
    place = cache.place_of(path)
    return (
        RemoteFile(path, size, mtime_ns, origin=place.url)
        if place
        else SourceFile(path, size, mtime_ns, inode, ctime_ns)
    )


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
