"""The entries of a meta/modality.json that may be wrong anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...core.features import Feature
from .arrow_rows import kind_of
from .modality import MODALITY, VECTORS

SECTIONS = (*VECTORS, "video", "annotation")


@dataclass(frozen=True, slots=True)
class Entry:
    """One name, and what it stands for.

    Attributes:
        section: One of SECTIONS.
        key: The name.
        content: Its object in the file.
    """

    section: str
    key: str
    content: Mapping[str, Any]

    @property
    def place(self) -> str:
        """Where it is."""
        return f"{MODALITY}, {self.section}.{self.key}"


def entries(content: Mapping[str, Any]) -> Iterator[Entry]:
    """Yield what can be read as an entry; `misfits` names the rest."""
    for section in SECTIONS:
        names = content.get(section)
        for key, entry in names.items() if isinstance(names, dict) else ():
            if isinstance(entry, dict):
                yield Entry(section, key, entry)


def misfits(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (place, problem) of sections and entries that are no objects; sections may be missing or null."""
    for section in SECTIONS:
        if (names := content.get(section)) is None:
            continue
        if not isinstance(names, dict):
            yield f"{MODALITY}, {section}", f"is {names!r} instead of an object"
            continue
        for key, entry in names.items():
            if not isinstance(entry, dict):
                yield f"{MODALITY}, {section}.{key}", f"is {entry!r} instead of an object"


def slice_of(entry: Entry) -> tuple[int, int] | None:
    """Return start and end of a state or an action; None where they are no range."""
    start, end = entry.content.get("start"), entry.content.get("end")
    return (start, end) if type(start) is int and type(end) is int and 0 <= start < end else None


def slice_problem(entry: Entry, column: str, feature: Feature) -> str:
    """Say why a state or an action is no part of its column; empty if it is one."""
    if len(feature.shape) != 1 or kind_of(feature.dtype) not in "biuf":
        return f"original_key is {column!r}, which is {feature} and no vector"
    found = slice_of(entry)
    if found is None or found[1] > feature.shape[0]:
        told = f"start is {entry.content.get('start')!r} and end is {entry.content.get('end')!r}"
        return f"{told}, which is no part of the {feature.shape[0]} values of {column}"
    return ""
