"""Arguments of blocks: a constructor's typed keywords are the schema of its section."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePath
from textwrap import dedent
from typing import Any, get_type_hints

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from ...core.errors import ConfigError, Problem, RobotroveError, UsageError, in_utf8, printable
from ...core.validation_messages import Mistake, mistakes
from ...core.yaml_source import show_path
from .block_lookup import block_class, one_line, stock_filter, use_of

_models: dict[type[Any], type[BaseModel]] = {}  # asked for once per rank, and pydantic takes a while
_CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())


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


@dataclass(frozen=True, slots=True)
class BlockSpec:
    """A block as a pipeline file describes it.

    Attributes:
        use: Registered name, or "module:Class".
        arguments: Every argument of its constructor, as plain YAML values.
    """

    use: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


class InvalidArguments(Exception):
    """Arguments that a block does not take."""

    def __init__(self, found: list[Mistake]) -> None:
        self.found = found
        super().__init__(found)


def arguments_model(cls: type[Any]) -> type[BaseModel]:
    """Return the pydantic model of a block's constructor.

    Its fields have the types and defaults of the signature, and as descriptions what the ``Args:``
    section of the docstring says. Unknown arguments are mistakes.

    Raises:
        UsageError: If the signature cannot be a schema: it takes ``*args`` or ``**kwargs``, has an
            argument named `use`, or hints that cannot be resolved.
    """
    if cls not in _models:
        _models[cls] = _made_model(cls)
    return _models[cls]


def _made_model(cls: type[Any]) -> type[BaseModel]:
    try:
        hints = get_type_hints(cls.__init__, include_extras=True)
    except NameError as exc:
        raise UsageError(cls.__qualname__, f"its type hints cannot be read: {exc}") from exc
    described = _argument_help(cls)
    fields: dict[str, Any] = {}
    # Python says that a class without a constructor takes *args and **kwargs; it takes nothing.
    parameters = [] if cls.__init__ is object.__init__ else [*inspect.signature(cls.__init__).parameters.values()][1:]
    for parameter in parameters:
        name = parameter.name
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or name == "use":
            raise UsageError(
                cls.__qualname__, f"its argument {name!r} cannot be checked", "named, typed arguments only"
            )
        hint = hints.get(name, Any)
        is_required = parameter.default is parameter.empty
        if parameter.default is None:
            hint = hint | None  # older code writes `seed: int = None`
        fields[name] = (hint, Field(... if is_required else parameter.default, description=described.get(name)))
    with warnings.catch_warnings():
        # An argument may be called `copy` or `json`, like a method of pydantic's.
        warnings.filterwarnings("ignore", message="Field name", category=UserWarning)
        return create_model(cls.__name__, __config__=_CONFIG, __doc__=inspect.getdoc(cls), **fields)


def checked_arguments(cls: type[Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as the constructor takes them, defaults included.

    Args:
        cls: Class of the block.
        arguments: Plain YAML values.

    Raises:
        InvalidArguments: With all that is wrong with them.
    """
    model = arguments_model(cls)
    # Values raise our own errors too, which pydantic lets through without saying where it was.
    wrong = [Mistake((name,), text) for name, value in arguments.items() if (text := _objection(model, name, value))]
    objected = {path[0] for path, *_ in wrong}
    valid, more = _validate(model, {name: value for name, value in arguments.items() if name not in objected})
    wrong += [mistake for mistake in more if mistake.path[0] not in objected]
    if wrong or valid is None:
        raise InvalidArguments(wrong)
    return {name: getattr(valid, name) for name in model.model_fields}


def _validate(model: type[BaseModel], arguments: Mapping[str, Any]) -> tuple[BaseModel | None, list[Mistake]]:
    """Validate strictly for scalars (text is no number, true is no 1), freely for the rest.

    pydantic's strict mode makes tuples of JSON lists and paths of JSON texts, but no longer behind a
    validator written in Python. So what only strict mode objects to counts for scalars alone.
    """
    text = json.dumps(arguments)
    try:
        return model.model_validate_json(text, strict=True), []
    except ValidationError as exc:
        strict = mistakes(model, exc, arguments)
    valid, found = None, []
    try:
        valid = model.model_validate_json(text)
    except ValidationError as exc:
        found = mistakes(model, exc, arguments)
    paths = {mistake.path for mistake in found}
    return valid, found + [mistake for mistake in strict if mistake.is_scalar and mistake.path not in paths]


def _objection(model: type[BaseModel], name: str, value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if in_utf8(text) != text:
        return f"found {printable(text)}, which is not UTF-8; rename that file or folder"
    try:
        _validate(model, {name: value})
    except RobotroveError as exc:
        return one_line(exc)
    return ""


def build(spec: BlockSpec) -> Any:
    """Return the block that a description stands for.

    Raises:
        UsageError: If there is no such block; a ConfigError if it does not take the arguments.
    """
    try:
        cls = block_class(spec.use)
    except UsageError as exc:
        raise UsageError(spec.use, exc.found) from exc
    try:
        return construct(cls, checked_arguments(cls, spec.arguments))
    except InvalidArguments as exc:
        problems = [Problem(0, f"{show_path(path)}: {text}" if path else text) for path, text, _ in exc.found]
        raise ConfigError(spec.use, problems) from exc


def construct(cls: type[Any], values: Mapping[str, Any]) -> Any:
    """Return a block of a class from checked arguments; what its constructor objects to is a mistake.

    Raises:
        InvalidArguments: With the objection, which is about the block as a whole.
    """
    try:
        block = cls(**values)
    except Exception as exc:  # outside code may raise anything
        raise InvalidArguments([Mistake((), one_line(exc))]) from exc
    size = getattr(block, "batch_size", 1)
    if stock_filter(cls) and size != 1:
        text = f"takes {size} documents at a time, but an episode is valid only while it is the current one"
        raise InvalidArguments([Mistake(("batch_size",), f"{text}; expected batch_size 1")])
    return block


def arguments_of(block: Any) -> dict[str, Any]:
    """Return the constructor arguments of a block as plain YAML values, read from its attributes.

    Raises:
        ConfigError: Naming each argument that is not kept under its name or that YAML cannot hold.
    """
    name = use_of(block)
    missing = object()
    kept = {argument: getattr(block, argument, missing) for argument in arguments_model(type(block)).model_fields}
    text = "the block has no attribute of this name; keep each constructor argument unchanged in one"
    problems = [Problem(0, f"{argument}: {text}") for argument, value in kept.items() if value is missing]
    found = {}
    try:
        found = frozen({argument: value for argument, value in kept.items() if value is not missing})
    except InvalidArguments as exc:
        problems += [Problem(0, f"{show_path(path)}: {text}") for path, text, _ in exc.found]
    if problems:
        raise ConfigError(name, problems)
    return found


def frozen(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return constructor arguments as plain YAML values.

    Raises:
        InvalidArguments: Naming each that YAML cannot hold.
    """
    result: dict[str, Any] = {}
    wrong = []
    for name, value in values.items():
        try:
            result[name] = plain(value)
        except NotPlain as exc:
            wrong.append(Mistake((name,), f"found {exc}, which YAML cannot hold; give plain values"))
    if wrong:
        raise InvalidArguments(wrong)
    return result


def _argument_help(cls: type[Any]) -> dict[str, str]:
    """Return what the ``Args:`` section of a Google docstring says about each argument, on one line."""
    doc = inspect.cleandoc(cls.__doc__ or "") + "\n\n" + inspect.cleandoc(cls.__init__.__doc__ or "")
    found: dict[str, str] = {}
    for section in re.findall(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", doc, re.MULTILINE):
        name = ""
        for line in dedent(section).splitlines():
            if match := re.match(r"(\w+)(?: \([^)]*\))?:\s*(.*)", line):
                name = match[1]
                found[name] = match[2]
            elif name and line.strip():
                found[name] = f"{found[name]} {line.strip()}".strip()
    return found
