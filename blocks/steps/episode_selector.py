"""episode_selector: keeps or drops episodes by number, by name or by what is known of them."""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from numbers import Real
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, model_validator

from ...core.episode import MOST_DIGITS, Episode, number_ranges
from ...core.errors import UsageError, nearest
from ...core.source_file import PathText
from ...core.yaml_source import read_yaml, text_of
from ..episode_step import EpisodeFilter

EpisodeList: TypeAlias = list[int | str] | PathText
Plain: TypeAlias = bool | int | float | str

_NUMBERS = re.compile(r"\s*\d+\s*(-\s*\d+\s*)?")
_LAST_NUMBER = re.compile(r"(\d+)\D*$")
_MOST_SHOWN = 10
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_METADATA = "metadata."
_NUMBER, _TEXT = ("a number", (int, float)), ("a text", (str,))
_FIELDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "length": _NUMBER,
    "fps": _NUMBER,
    "success": ("true or false", (bool, int)),
    "task": _TEXT,
    "file": _TEXT,
    "key": _TEXT,
}


class Condition(BaseModel):
    """A property that an episode must have; one without the field does not have it.

    Attributes:
        field: length (frames at this point), fps, success (the recorder's label), task, file (its path), key, or
            metadata.NAME.
        op: "like" compares with a pattern of * and ?; "contains" looks for a text, "in" for one of several values.
        value: Value to compare with; a list for "in".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: str
    op: Literal["==", "!=", "<", "<=", ">", ">=", "in", "contains", "like"] = "=="
    value: Plain | list[Plain]

    @model_validator(mode="after")
    def _fits(self) -> Condition:
        fields = (*_FIELDS, f"{_METADATA}NAME")
        if self.field not in fields and not re.match(re.escape(_METADATA) + ".", self.field):
            told = f"{self.field!r} is not a field{nearest(self.field, fields)}"
            raise ValueError(f"{told}; expected {', '.join(fields)}")
        kinds: dict[str, tuple[type, ...]] = {"in": (list,), "contains": (str,), "like": (str,)}
        expected = (int, float) if self.op in _ORDERS else kinds.get(self.op, (bool, int, float, str))
        if not isinstance(self.value, expected) or (self.op in _ORDERS and isinstance(self.value, bool)):
            raise ValueError(f"{self.op} needs {' or '.join(kind.__name__ for kind in expected)}, not {self.value!r}")
        values = self.value if isinstance(self.value, list) else [self.value]
        name, known = _FIELDS.get(self.field, ("", ()))
        if strange := [value for value in values if known and type(value) not in known]:
            raise ValueError(f"{self.field} is {name}, and never {strange[0]!r}")
        return self

    def found(self, ep: Episode) -> Any:
        """Return the field of an episode, None without one."""
        if self.field.startswith(_METADATA):
            return ep.metadata.get(self.field.removeprefix(_METADATA))
        file, key = place(ep)
        known = {"length": ep.length, "fps": ep.fps, "success": ep.success, "task": ep.text, "file": file, "key": key}
        return known[self.field]

    def holds(self, ep: Episode) -> bool:
        """Return True if the episode meets it."""
        found = self.found(ep)
        if found is None:
            return False
        if self.op in _ORDERS:
            return isinstance(found, Real) and _ORDERS[self.op](found, self.value)
        if isinstance(self.value, list):
            return found in self.value
        if self.op in ("==", "!="):
            return bool(found == self.value) == (self.op == "==")
        text = str(self.value)
        return isinstance(found, str) and (text in found if self.op == "contains" else _fits(text, found))

    def __str__(self) -> str:
        return f"{self.field} {self.op} {self.value!r}"


def place(ep: Episode) -> tuple[str, str]:
    """Return the file of an episode and its key there; of an episode without a recording, what its id says."""
    file, _, key = ep.id.rpartition(":")
    return (ep.origin.file, ep.origin.key) if ep.origin.file else (file, key)


class EpisodeSelector(EpisodeFilter):
    """Selects episodes by number, by name or by what is known of them.

    An entry of `keep` and `drop` is a number or a range such as 7-9 (of the last number in the key, demo_7; of the
    file, if the key has none), or a key, a file or file:key, with * and ? for other characters. Files and keys are
    named by the last parts of their paths.

    Args:
        keep: Episodes to keep, all by default: a list such as [0, 7-9, demo_12], or a YAML or JSON file of one.
        drop: Episodes to drop, given in the same way.
        where: Conditions that each kept episode meets, such as [{field: length, op: ">=", value: 30}].
    """

    name = "episode_selector"
    keeps_vectors = True

    def __init__(
        self, *, keep: EpisodeList | None = None, drop: EpisodeList | None = None, where: list[Condition] | None = None
    ) -> None:
        super().__init__()
        if keep is None and drop is None and where is None:
            raise UsageError("episode_selector", "selects nothing", "keep, drop or where")
        self.keep = keep
        self.drop = drop
        self.where = where
        self._where = [Condition.model_validate(condition) for condition in where or ()]
        self._keep = None if keep is None else _Names(keep, "keep")
        self._drop = None if drop is None else _Names(drop, "drop")

    def notes(self, episodes: Sequence[tuple[str, str]]) -> list[str]:
        """Name the entries of keep and drop that fit no episode."""
        told = []
        for argument, names in (("keep", self._keep), ("drop", self._drop)):
            if lost := names.unmatched(episodes) if names is not None else []:
                shown = ", ".join(lost[:_MOST_SHOWN]) + ", …" * (len(lost) > _MOST_SHOWN)
                told.append(f"{self.name}: entries of {argument} fit no episode: {shown}")
        return told

    def reject(self, ep: Episode) -> str | None:
        """Return `not_selected`."""
        if self._keep is not None and not self._keep.has(ep):
            return f"not_selected: none of {len(self._keep)} entries of keep names it"
        if self._drop is not None and self._drop.has(ep):
            return "not_selected: drop has an entry for it"
        for condition in self._where:
            if not condition.holds(ep):
                return f"not_selected: {condition.field} is {condition.found(ep)!r}, selected is {condition}"
        return None


class _Names:
    """Numbers and patterns of episodes."""

    def __init__(self, given: list[int | str] | str, argument: str) -> None:
        where = f"episode_selector: {argument}"
        entries = _entries(given) if isinstance(given, str) else given
        numbers = [entry for entry in entries if isinstance(entry, int) or _NUMBERS.fullmatch(entry)]
        self._numbers = number_ranges(numbers, where)
        self._patterns = [entry for entry in entries if isinstance(entry, str) and entry not in numbers]

    def __len__(self) -> int:
        return len(self._numbers) + len(self._patterns)

    def has(self, ep: Episode) -> bool:
        file, key = place(ep)
        number = _number(file, key)
        return any(number in numbers for numbers in self._numbers) or any(
            _names(pattern, file, key) for pattern in self._patterns
        )

    def unmatched(self, places: Iterable[tuple[str, str]]) -> list[str]:
        """Return the entries that fit none of the episodes, each given by file and key."""
        numbers, patterns = self._numbers, self._patterns
        for file, key in places:
            if not numbers and not patterns:
                break
            own = _number(file, key)
            numbers = [found for found in numbers if own not in found]
            patterns = [pattern for pattern in patterns if not _names(pattern, file, key)]
        return [*(f"{own[0]}-{own[-1]}" if len(own) > 1 else str(own[0]) for own in numbers), *patterns]


def _number(file: str, key: str) -> int:
    """Return the number of an episode, -1 without one."""
    last = _LAST_NUMBER.search(key) or _LAST_NUMBER.search(os.path.splitext(os.path.basename(file))[0])
    return int(last[1]) if last and len(last[1]) < MOST_DIGITS else -1


def _names(pattern: str, file: str, key: str) -> bool:
    """Return True if a pattern, of file:key or one of both, fits the last parts of their paths."""
    if any(_fits(f"*/{pattern}", f"/{name}") for name in (file, key)):
        return True
    colons = (at for at, letter in enumerate(pattern) if letter == ":")  # a key may have its own: data/a[12:24]
    return any(_fits(f"*/{pattern[:at]}", f"/{file}") and _fits(f"*/{pattern[at + 1 :]}", f"/{key}") for at in colons)


def _fits(pattern: str, text: str) -> bool:
    """Return True if a pattern of * and ? fits a text; brackets stand for themselves."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def _entries(path: str) -> list[int | str]:
    expected = "a file NAME.yaml or NAME.json with a list of episodes, such as [0, 7-9, demo_12]"
    if not path.endswith((".yaml", ".yml", ".json")):  # a run knows by its name that its content counts
        raise UsageError(path, "its name does not end with .yaml or .json", expected)
    root, _ = read_yaml(text_of(path, expected), path)
    found = root.plain() if root else None
    if not isinstance(found, list) or not all(type(entry) in (int, str) for entry in found):
        raise UsageError(path, "is not a list of numbers and texts", expected)
    return found
