"""Statistics that are not there, told once and not once per episode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_SHOWN = 3


@dataclass(slots=True)
class _Group:
    where: str
    features: dict[str, None] = field(default_factory=dict)
    places: int = 0
    last: str = ""


class MissingStats:
    """Gathers which statistics of which features are missing."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], _Group] = {}

    def note(self, where: str, feature: str, names: Sequence[str]) -> None:
        """Take statistics of a feature that are missing at a place; places come one after the other."""
        group = self._groups.setdefault(tuple(names), _Group(where))
        group.features[feature] = None
        group.places += where != group.last
        group.last = where

    def groups(self) -> Iterator[tuple[str, tuple[str, ...], str]]:
        """Yield (first place, statistics, sentence)."""
        for names, group in self._groups.items():
            features = list(group.features)
            shown = ", ".join(features[:_SHOWN])
            more = f" and {len(features) - _SHOWN} more" if len(features) > _SHOWN else ""
            others = f" (so in {group.places} episodes)" if group.places > 1 else ""
            yield group.where, names, f"has no {', '.join(names)} of {shown}{more}{others}"
