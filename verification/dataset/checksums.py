"""Checksums: files are as robotrove wrote them, by the list in meta/robotrove."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ...core.checksums import CHECKSUMS, FileSum, problem, read_list
from ...core.errors import Damaged, printable
from ...core.machine import usable_cpus
from ...formats.lerobot.dataset_files import leads_inside
from ...formats.lerobot.datasets.dataset import Dataset
from ..check import Check, Diagnostic

_CONTENT = ("data", "videos", "images")  # their files are never rewritten in place, those of meta/ are
_CHANGED = "changed after robotrove wrote it"
_TODO = f"restore it; if you changed it yourself, delete {CHECKSUMS}"


class ChecksumsCheck(Check[Dataset]):
    """Files against the list of checksums, which a dataset has since robotrove 0.2.3; without one nothing is said."""

    name = "checksums"

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield files that changed since robotrove wrote them: an error for data and videos, else a note."""
        sums = read_list(dataset.root)
        if outside := next((name for name in sums if not leads_inside(name)), None):
            raise Damaged(CHECKSUMS, f"names {outside!r}, which is outside of the dataset")
        with ThreadPoolExecutor(usable_cpus()) as pool:
            for name, found in zip(sums, pool.map(partial(_problem, dataset), sums.items()), strict=True):
                dataset.opened(name)
                if found:
                    told = self.error if name.split("/")[0] in _CONTENT else self.note
                    yield told(printable(name), f"{_CHANGED}: it {found}; {_TODO}")
        if sums and (more := sum(path not in sums for path in _content(dataset.root))):
            yield self.note(CHECKSUMS, f"{more} files of data and videos are not in it: another tool has added them")


def _problem(dataset: Dataset, entry: tuple[str, FileSum]) -> str:
    """Return how a file changed; empty for one behind a link that is not followed, and for missing data and videos.

    The check of files names those where episodes need them.
    """
    name, expected = entry
    if (dataset.root / name).is_file():
        try:
            return problem(dataset.root / name, expected) if dataset.is_followed(name) else ""
        except OSError as exc:
            return f"fails to be read: {exc.strerror}"
    return "" if name.split("/")[0] in _CONTENT else "is missing"


def _content(root: Path) -> Iterator[str]:
    for folder in _CONTENT:
        yield from (path.relative_to(root).as_posix() for path in (root / folder).rglob("*") if path.is_file())
