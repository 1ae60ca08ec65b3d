"""YAML that remembers its lines: every value read from a file knows where it was written.

Plain scalars are resolved as in YAML 1.2's core schema, so `no`, `on`, `2024-01-01` and `1:30` are
text and `1e-3` is a number; PyYAML alone follows YAML 1.1, where all five are something else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from .errors import ConfigError, Problem, UsageError

KeyPath: TypeAlias = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_SCALARS = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?(?:0|[1-9][0-9_]*)", "-+0123456789"),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.inf|\.nan",
        "-+0123456789.",
    ),
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
}
_ALLOWED_TAGS = {_TAG + kind for kind in (*_SCALARS, "str", "map", "seq")}
_DEEPEST = 100  # levels of lists and mappings
_MOST_REPEATED = 1_000_000  # characters and values that aliases repeat: nine lines can make a billion of them


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML reads it from the class)


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 or `_Loader` would take for something other than text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _kind, (_pattern, _first) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_TAG + _kind, re.compile(f"(?:{_pattern})$"), list(_first))


@dataclass(frozen=True, slots=True)
class Located:
    """A YAML value and where it comes from.

    Attributes:
        value: A scalar, a dict of str to Located, or a list of Located.
        line: Line of its key, or of the value itself in a list; counts from 1, 0 if it is in no file.
        given: The `KEY=VALUE` of the command line that set it, empty for what a file says.
    """

    value: Any
    line: int = 0
    given: str = ""

    def at(self, path: KeyPath) -> Located:
        """Return the value at a path, or the deepest one on the way to it."""
        node = self
        for key in path:
            if key not in keys_of(node.value):
                break
            node = node.value[key]
        return node

    def plain(self) -> Any:
        """Return the value without the lines: None, bool, int, float, str, list and dict only."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def keys_of(value: Any) -> Collection[Any]:
    """Return the keys of a mapping, the indices of a list, nothing for a scalar."""
    return value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()


def locate(value: Any, line: int = 0, given: str = "") -> Located:
    """Wrap plain values, which all get the same line and origin."""
    if isinstance(value, dict):
        return Located({str(key): locate(item, line, given) for key, item in value.items()}, line, given)
    if isinstance(value, list):
        return Located([locate(item, line, given) for item in value], line, given)
    return Located(value, line, given)


def show_path(path: Sequence[str | int]) -> str:
    """Return a path as people write it: ``steps[1].columns["observation.state"]``."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif re.fullmatch(r"[\w-]+", key):
            text += f".{key}" if text else key
        else:
            text += f'["{key}"]'
    return text


def text_of(path: str, expected: str, todo: str = "") -> str:
    """Return the text of a file.

    Raises:
        UsageError: If it cannot be read, or is not text in UTF-8.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except UnicodeDecodeError as exc:
        raise UsageError(path, f"is not text in UTF-8 (byte {exc.start})", expected, todo) from exc
    except OSError as exc:
        raise UsageError(path, f"cannot be read: {exc.strerror}", expected, todo) from exc


def read_yaml(text: str, source: str) -> tuple[Located | None, list[Problem]]:
    """Parse one YAML document.

    Args:
        text: The document.
        source: Name of its file, for error texts.

    Returns:
        The document, None if it is empty, and the mistakes that leave it readable: keys given
        twice, keys that are no text, tags.

    Raises:
        ConfigError: If the text is not YAML, is nested more than 100 levels deep, or has aliases that repeat more than
            1,000,000 characters.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        reading = _Reading(loader, source)
        return (reading.read(node, node.start_mark.line + 1, ()) if node else None), reading.problems
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        raise ConfigError(source, [Problem(mark.line + 1 if mark else 0, _syntax(exc))]) from None
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        raise ConfigError(source, [Problem(line, f"the character U+{exc.character:04X} is not allowed")]) from None
    except RecursionError:
        raise ConfigError(source, [Problem(0, "nested too deeply, or a value that contains itself")]) from None
    finally:
        if loader is not None:
            loader.dispose()


def dump_yaml(value: Any) -> str:
    """Return plain values as YAML in their own order, without anchors; `read_yaml` gives them back."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False)


class _Reading:
    def __init__(self, loader: _Loader, source: str) -> None:
        self._loader = loader
        self._source = source
        self._seen: set[yaml.Node] = set()
        self._repeated = 0
        self.problems: list[Problem] = []

    def read(self, node: yaml.Node, line: int, path: KeyPath) -> Located:
        self._count(node)
        if len(path) > _DEEPEST:
            raise RecursionError
        if node.tag not in _ALLOWED_TAGS:
            tag = node.tag.replace(_TAG, "!!")
            self._note(node, path, f"the tag {tag} is not understood; write plain text, numbers, lists and mappings")
            return Located(None, line)
        if isinstance(node, yaml.MappingNode):
            return Located(self._mapping(node, path), line)
        if isinstance(node, yaml.SequenceNode):
            items = enumerate(node.value)
            return Located([self.read(item, item.start_mark.line + 1, (*path, i)) for i, item in items], line)
        try:
            return Located(self._loader.construct_object(node), line)
        except (ValueError, KeyError):
            self._note(node, path, f"{node.value!r} does not match its tag")
            return Located(None, line)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Located]:
        found: dict[str, Located] = {}
        for key, value in node.value:
            self._count(key)
            if not isinstance(key, yaml.ScalarNode):
                self._note(key, path, "a key must be text, found a list or mapping (is a text with { or [ unquoted?)")
                continue
            here = (*path, key.value)
            if key.value in found:
                self._note(key, here, f"given twice, first on line {found[key.value].line}")
                continue
            found[key.value] = self.read(value, key.start_mark.line + 1, here)
        return found

    def _count(self, node: yaml.Node) -> None:
        """Refuse aliases that repeat too much of what was read before."""
        if node in self._seen:
            self._repeated += 1 + len(node.value)
        self._seen.add(node)
        if self._repeated > _MOST_REPEATED:
            text = f"its aliases repeat more than {_MOST_REPEATED:,} characters; write the values without `*`"
            raise ConfigError(self._source, [Problem(node.start_mark.line + 1, text)])

    def _note(self, node: yaml.Node, path: KeyPath, text: str) -> None:
        where = f"{show_path(path)}: " if path else ""
        self.problems.append(Problem(node.start_mark.line + 1, where + text))


def _syntax(exc: yaml.MarkedYAMLError) -> str:
    problem = exc.problem or exc.context or "not understood"
    if "'\\t'" in problem:
        return "a tab where YAML wants spaces; indent with spaces"
    opened = f" ({exc.context}, line {exc.context_mark.line + 1})" if exc.context and exc.context_mark else ""
    return f"not valid YAML: {problem}{opened}"
