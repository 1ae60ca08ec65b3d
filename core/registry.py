"""Registry: names to classes, imported only when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from .errors import UsageError, nearest


class Registry(Mapping[str, Any]):
    """A fixed set of named implementations of one kind of thing.

    Args:
        kind: What is registered, for error texts ("block", "layout").
        package: Package that the modules are in.
        entries: Name to "module:Class", the module relative to the package.
    """

    def __init__(self, kind: str, package: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self._package = package
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> Any:
        if name not in self._entries:
            raise UsageError(
                f"{self.kind} {name!r}",
                f"no such {self.kind}{nearest(name, self._entries)}",
                "one of " + ", ".join(self._entries),
            )
        module, _, attribute = self._entries[name].partition(":")
        return getattr(import_module(f".{module}", self._package), attribute)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries
