"""Files of a dataset that are written aside and take their places when all of them are complete."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from ...core.commit import attempt_name, sync_file


class Replacements:
    """Collects new files inside a `with` block; without `commit` nothing changes.

    Args:
        root: The dataset.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._attempts: dict[str, Path] = {}

    def __enter__(self) -> Replacements:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for attempt in self._attempts.values():
            attempt.unlink(missing_ok=True)

    def attempt(self, path: str) -> Path:
        """Return the name of a file to write, which will be `path`, relative to the dataset."""
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        self._attempts[path] = target.with_name(attempt_name(target.name))
        return self._attempts[path]

    def write(self, path: str, content: bytes) -> None:
        """Write a small file that will be `path`."""
        self.attempt(path).write_bytes(content)

    def commit(self, first: str = "") -> tuple[str, ...]:
        """Give each file its name, one after the other, and return the names.

        Args:
            first: The file to begin with, if it is among them; the others follow in the order of their attempts.
        """
        for attempt in self._attempts.values():
            sync_file(attempt)
        names = sorted(self._attempts, key=lambda path: path != first)
        for path in names:
            target = self._root / path
            os.replace(self._attempts[path], target)
            sync_file(target.parent)
        self._attempts = {}
        return tuple(names)
