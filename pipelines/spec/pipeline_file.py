"""Pipeline file: text of a file or a shipped pipeline, and `KEY=VALUE` of the command line applied to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from ...core.errors import ConfigError, Problem, UsageError, nearest
from ...core.yaml_source import KeyPath, Located, locate, read_yaml, show_path, text_of

_SHIPPED = Path(__file__).parents[1] / "shipped"
_PART = re.compile(r'\.?([^.\[\]"=]+)|\[(\d+)\]|\["([^"]*)"\]')


def shipped_names() -> list[str]:
    """Return the names of the shipped pipelines."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yaml"))


def shipped_text(name: str) -> str:
    """Return the text of a shipped pipeline, in which `source.files` is left out.

    Raises:
        UsageError: If there is none of this name.
    """
    names = shipped_names()
    if name not in names:
        raise UsageError(
            f"pipeline {name!r}",
            f"there is neither a file nor a shipped pipeline of this name{nearest(name, names)}",
            "a pipeline file, or one of " + ", ".join(names),
            "robotrove init --pipeline NAME copies a shipped one, robotrove init FILE… writes one for files",
        )
    return (_SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")


def is_shipped(path: Path) -> bool:
    """True if a path that was given is no file but the bare name of a pipeline."""
    return path.name == str(path) and not path.suffix and not path.is_file()


def pipeline_file_text(path: Path) -> str:
    """Return the text of a pipeline file, or of a shipped pipeline if `path` is its name.

    Raises:
        UsageError: If it cannot be read.
    """
    if is_shipped(path):
        return shipped_text(path.name)
    return text_of(str(path), "a pipeline file in YAML", "" if path.is_file() else _instead(path))


def _instead(path: Path) -> str:
    close = get_close_matches(path.name, [item.name for item in path.parent.glob("*.y*ml")], n=1)
    return f"did you mean {path.with_name(close[0])}?" if close else "robotrove init FILE… writes one"


def apply_overrides(root: Located, overrides: Sequence[str]) -> tuple[Located, list[Problem]]:
    """Return the pipeline with the overrides applied in order, and the mistakes made in writing them.

    A KEY is a path as error texts show it: ``steps[1].min_length`` (or ``steps.1.min_length``) and
    ``source.names["a.b"]``. A key that is not there yet is added: whether it may be there is for the
    check of the whole pipeline to say. VALUE is YAML.
    """
    problems = []
    for text in overrides:
        try:
            path, value = _parse(text)
            root = _put(root, path, 0, locate(value, 0, text))
        except _Mistake as exc:
            problems.append(Problem(0, f"{text!r} on the command line: {exc}"))
    return root, problems


class _Mistake(Exception):
    """An override that cannot be applied; its text says why."""


def _parse(text: str) -> tuple[KeyPath, object]:
    match = re.match(rf"((?:{_PART.pattern})+)=(.*)", text, re.DOTALL)
    if match is None:
        raise _Mistake("expected KEY=VALUE, such as steps[1].min_length=20")
    parts = _PART.finditer(match[1])
    path = tuple(int(part[2]) if part[2] else part[3] if part[1] is None else part[1] for part in parts)
    try:
        node, problems = read_yaml(match[match.lastindex or 0], text)
    except ConfigError as exc:
        node, problems = None, exc.problems
    if problems:
        raise _Mistake(problems[0].message)
    return path, node.plain() if node else None


def _put(node: Located, path: KeyPath, depth: int, new: Located) -> Located:
    if depth == len(path):
        return replace(new, line=0)
    key = path[depth]
    inside = node.value
    if isinstance(inside, list):
        index = int(key) if str(key).isdecimal() else len(inside)
        if index >= len(inside):
            items = "; ".join(f"{i}: {_label(item)}" for i, item in enumerate(inside))
            raise _Mistake(f"{show_path(path[:depth])} is a list and has no item {key!r}; items are {items or 'none'}")
        changed = [*inside[:index], _put(inside[index], path, depth + 1, new), *inside[index + 1 :]]
        return replace(node, value=changed)
    if inside is None:
        inside = {}
    if not isinstance(inside, dict) or isinstance(key, int):
        raise _Mistake(f"{show_path(path[:depth])} has no {show_path((key,))}: it is {_label(node)}")
    child = inside.get(key, Located(None, 0, new.given))
    return replace(node, value={**inside, key: _put(child, path, depth + 1, new)})


def _label(node: Located) -> str:
    if isinstance(node.value, dict):
        return str(node.value["use"].value) if "use" in node.value else "a mapping"
    return "a list" if isinstance(node.value, list) else repr(node.value)
