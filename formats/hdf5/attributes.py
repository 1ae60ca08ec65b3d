"""Attributes and small datasets of HDF5 files: texts, labels, JSON, names of groups."""

from __future__ import annotations

import json
from typing import Any

import h5py
import numpy as np

from .hdf5_file import DAMAGE, natural_key, object_name, reading


def groups(parent: h5py.Group, path: str = "/") -> list[str]:
    """Return the names of the groups in the group `path`, in natural order.

    What cannot be opened counts, so that its episode is rejected by name instead of vanishing, or
    taking the rest of the file with it.
    """
    folder = parent.get(path)
    if not isinstance(folder, h5py.Group):
        return []
    with reading(f"group {folder.name}"):
        names = sorted(map(object_name, folder), key=natural_key)
    return [name for name in names if _may_be_group(folder, name)]


def _may_be_group(folder: h5py.Group, name: str) -> bool:
    try:
        return folder.get(name, getclass=True) in (h5py.Group, None)
    except DAMAGE:
        return True


def text(value: Any) -> str | None:
    """Return an attribute or a single value as text, None if it is missing or no text."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return str(value).strip() or None if isinstance(value, str) else None


def json_attribute(group: h5py.Group, name: str) -> dict[str, Any]:
    """Return a JSON object kept in an attribute; empty if it is missing or broken."""
    try:
        value = json.loads(text(group.attrs.get(name)) or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


_WORDS = dict.fromkeys(("true", "yes", "1", "success", "successful", "succeeded"), True) | dict.fromkeys(
    ("false", "no", "0", "failure", "failed", "fail"), False
)


def flag(value: Any) -> bool | None:
    """Return a label as bool, None if it is missing or says neither; an array counts by its last entry."""
    if value is None or np.size(value) == 0:
        return None
    last = np.reshape(value, -1)[-1]
    if (word := text(last)) is not None:
        return _WORDS.get(word.lower())
    if not isinstance(last, np.bool_ | np.number) or not np.isfinite(last) or last < 0:
        return None
    return bool(last)
