"""Messages for pydantic's errors, in words for people who write YAML."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

from .errors import nearest
from .yaml_source import KeyPath, keys_of

_SINGULAR: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "nothing (null)",
    Path: "a path",
    Any: "anything",
}
_PLURAL: dict[Any, str] = {int: "whole numbers", float: "numbers", str: "texts", bool: "true or false", Path: "paths"}
_CONSTRAINTS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "finite_number": "a finite number",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "text like the pattern {pattern}",
}
_WRONG_SCALAR = ("int_type", "int_from_float", "float_type", "bool_type", "string_type", "literal_error")
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")


class Mistake(NamedTuple):
    """A mistake, the path of the value that is wrong, and whether it is a scalar of the wrong kind."""

    path: KeyPath
    text: str
    is_scalar: bool = False


def mistakes(model: type[BaseModel], error: ValidationError, data: Mapping[str, Any]) -> list[Mistake]:
    """Return one sentence per wrong value, in the order of the data.

    Args:
        model: What the data were checked against.
        error: What pydantic found.
        data: The plain data.
    """
    found: dict[KeyPath, list[tuple[KeyPath, Any]]] = {}
    for item in error.errors(include_url=False):
        path, union_at = _follow(item["loc"], data, is_missing=item["type"] == "missing")
        found.setdefault(path if union_at is None else union_at, []).append((path, item))
    result: dict[KeyPath, Mistake] = {}
    for union_at, items in found.items():
        # A member of a union that got further than the others is the one that was meant.
        deeper = [pair for pair in items if len(pair[0]) > len(union_at)] or items
        is_scalar = all(
            item["type"] in _WRONG_SCALAR and not isinstance(item["input"], list | dict) for _, item in deeper
        )
        for path, item in deeper:
            result.setdefault(path, Mistake(path, _sentence(model, path, item, data), is_scalar))
    return list(result.values())


def expected(hint: Any) -> str:
    """Say in plain words what values a type hint allows; null beside others goes without saying."""
    members = list(_members(hint))
    if len(members) > 1:
        members = [member for member in members if member is not type(None)]
    if len(members) > 1:
        return " or ".join(dict.fromkeys(expected(member) for member in members))
    member = members[0]
    origin, args = get_origin(member), get_args(member)
    if member in _SINGULAR:
        return _SINGULAR[member]
    if choices := _choices(member):
        return ("one of " if len(choices) > 1 else "") + ", ".join(map(repr, choices))
    if origin is tuple and args[-1:] != (...,):
        return f"a list of {len(args)}: {', '.join(map(expected, args))}"
    if _is_list(origin or member):
        item = args[0] if args else Any
        return "a list" if item is Any else f"a list of {_PLURAL.get(item) or 'items, each ' + expected(item)}"
    if _is_mapping(origin or member):
        return f"a mapping of names to {expected(args[1])}" if args else "a mapping"
    if fields := _fields(member):
        return f"a mapping with keys among {', '.join(fields)}"
    return f"a Python object ({getattr(member, '__name__', member)}), which YAML cannot hold"


def described(value: Any) -> str:
    """Name a value found in a file."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value!r}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "a mapping" if isinstance(value, dict) else f"the number {value!r}"


def _follow(loc: Sequence[str | int], data: Any, *, is_missing: bool) -> tuple[KeyPath, KeyPath | None]:
    """Return the path in the data that a pydantic location means, and where on it a union was met.

    pydantic puts labels of union members between the keys; they are what leads nowhere in the data.
    """
    path: list[str | int] = []
    union_at = None
    for key in loc:
        if key in keys_of(data):
            path.append(key)
            data = data[key]
        elif not (is_missing and key == loc[-1]):
            union_at = tuple(path) if union_at is None else union_at
    if is_missing and isinstance(loc[-1], str):
        path.append(loc[-1])
    return tuple(path), union_at


def _sentence(model: type[BaseModel], path: KeyPath, item: Any, data: Any) -> str:
    hints = [model]
    for depth, key in enumerate(path):
        parents, hints = hints, [inner for hint in hints for inner in _inside(hint, key)]
        is_key = item["loc"][-1] == "[key]"  # pydantic's label of a mapping's key
        if depth == len(path) - 1 and (is_key or item["type"] in _UNKNOWN_KEY):
            keys = _allowed_keys if is_key else _all_fields
            names = list(dict.fromkeys(name for hint in parents for name in keys(hint)))
            kind = "argument" if depth == 0 else "key"
            return f"no such {kind}{nearest(str(key), names)}; {kind}s: {', '.join(names) or 'none'}"
    # A model that takes a short form leads to values that its hints do not; pydantic's words must do.
    wanted = " or ".join(dict.fromkeys(map(expected, hints))) or item["msg"].removeprefix("Input should be ")
    if item["type"] == "missing" and isinstance(item["loc"][-1], str):
        return f"missing, expected {wanted}"
    if item["type"] in ("value_error", "assertion_error"):
        return str(item["ctx"]["error"])
    value = _value_at(data, path)
    if item["type"] in _CONSTRAINTS:
        return f"found {described(value)}, expected {_CONSTRAINTS[item['type']].format(**item['ctx'])}"
    choices = [str(choice) for hint in hints for member in _members(hint) for choice in _choices(member)]
    return f"found {described(value)}, expected {wanted}{nearest(str(value), choices) if len(choices) > 1 else ''}"


def _value_at(data: Any, path: KeyPath) -> Any:
    for key in path:
        data = data[key]
    return data


def _members(hint: Any) -> Iterator[Any]:
    """Yield what a hint allows: the members of unions, without Annotated's notes."""
    if get_origin(hint) is Annotated:
        yield from _members(get_args(hint)[0])
    elif get_origin(hint) in (Union, types.UnionType):
        for member in get_args(hint):
            yield from _members(member)
    else:
        yield hint


def _inside(hint: Any, key: str | int) -> Iterator[Any]:
    for member in _members(hint):
        origin, args = get_origin(member) or member, get_args(member)
        if isinstance(key, int) and _is_list(origin) and args:
            yield args[min(key, len(args) - 1)] if origin is tuple and args[-1] is not ... else args[0]
        elif _is_mapping(origin) and args:
            yield args[1]
        elif key in (fields := _fields(member)):
            yield fields[str(key)]


def _all_fields(hint: Any) -> Iterator[str]:
    for member in _members(hint):
        yield from _fields(member)


def _allowed_keys(hint: Any) -> Iterator[str]:
    for member in _members(hint):
        if _is_mapping(get_origin(member)):
            yield from map(str, _choices(get_args(member)[0]))


def _fields(member: Any) -> dict[str, Any]:
    if not isinstance(member, type):
        return {}
    if issubclass(member, BaseModel):
        return {str(field.validation_alias or name): field.annotation for name, field in member.model_fields.items()}
    if dataclasses.is_dataclass(member):
        hints = get_type_hints(member, include_extras=True)
        return {field.name: hints[field.name] for field in dataclasses.fields(member) if field.init}
    return {}


def _choices(member: Any) -> list[Any]:
    if get_origin(member) is Literal:
        return list(get_args(member))
    return [choice.value for choice in member] if _is_a(member, Enum) else []


def _is_list(kind: Any) -> bool:
    return (_is_a(kind, Sequence) and not _is_a(kind, str)) or _is_a(kind, AbstractSet)


def _is_mapping(kind: Any) -> bool:
    return _is_a(kind, Mapping)


def _is_a(kind: Any, base: type[Any]) -> bool:
    return isinstance(kind, type) and issubclass(kind, base)
