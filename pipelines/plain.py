"""Python values as YAML holds them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
from pydantic import BaseModel


class NotPlain(Exception):
    """A value that YAML cannot hold; its text describes the value."""


def plain(value: Any) -> Any:
    """Return a value as None, bool, int, float, str, list or dict: what YAML holds.

    Models and dataclasses become mappings (by alias), sets sorted lists, numpy scalars numbers.

    Raises:
        NotPlain: If that loses what the value is: a function, an open file, an array.
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, BaseModel):
        return plain(value.model_dump(by_alias=True))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, AbstractSet):
        return sorted(map(plain, value))
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [plain(item) for item in value]
    raise NotPlain(_kind(value))


def _key(key: Any) -> str:
    if isinstance(key, str | int) and not isinstance(key, bool):
        return str(key)
    raise NotPlain(f"the key {key!r}")


def _kind(value: Any) -> str:
    if inspect.isroutine(value):
        return "a lambda" if value.__name__ == "<lambda>" else f"the function {value.__qualname__}"
    if isinstance(value, np.ndarray):
        return "a numpy array (array.tolist() makes it a list)"
    return f"a {type(value).__module__}.{type(value).__qualname__}"
