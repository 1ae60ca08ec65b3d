"""Files in meta/ that are no part of the format, and what is inside a dataset at all."""

from __future__ import annotations

import os
from pathlib import Path

from . import paths, paths_v21

# Files and folders of meta/ that a writer makes itself, of both versions: one that was left behind must not travel.
_OWN = {Path(path) for path in (paths.INFO, paths.STATS, paths.TASKS, "meta/episodes", "meta/robotrove")} | {
    Path(path) for path in (paths_v21.TASKS, paths_v21.EPISODES, paths_v21.EPISODES_STATS, "meta/relative_stats.json")
}
_TEMPORARY = (".tmp", ".temp", ".part", ".partial", ".incomplete", ".lock", ".swp", "~")


class Inside:
    """Paths that do not lead out of a dataset, neither by themselves nor by links.

    Args:
        root: The dataset's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        home = os.path.realpath(root)
        self._homes = [home]
        parent = os.path.dirname(home)
        if os.path.basename(parent) == "snapshots":
            # The Hub's cache: snapshots/<commit>/ holds links to ../../blobs.
            self._homes.append(os.path.join(os.path.dirname(parent), "blobs"))

    def __contains__(self, path: str | Path) -> bool:
        try:
            target = os.path.realpath(self._root / path)
        except ValueError:  # a zero byte
            return False
        return any(target.startswith(home + os.sep) for home in self._homes)


def extra_files(root: Path, inside: Inside) -> list[Path]:
    """Return the files of meta/ that no writer of either version makes, relative to the dataset, sorted.

    Args:
        root: The dataset's folder.
        inside: What is inside of it; links that lead out are left out, as are hidden and temporary files.
    """
    found = []
    for folder, folders, names in os.walk(root / "meta"):
        here = Path(folder).relative_to(root)
        folders[:] = [name for name in folders if here / name not in _OWN and not _is_passing(name)]
        for path in (here / name for name in names):
            if path not in _OWN and not _is_passing(path.name) and (root / path).is_file() and path in inside:
                found.append(path)
    return sorted(found)


def _is_passing(name: str) -> bool:
    return name.startswith(".") or name.lower().endswith(_TEMPORARY)
