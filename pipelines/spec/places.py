"""Places: paths of a pipeline made absolute, and their texts as they were written."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from ...core.source_file import PathMark, is_remote
from ...core.validation_messages import Mistake
from ...core.yaml_source import KeyPath, Located, show_path
from .arguments import InvalidArguments

_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", re.ASCII)

_BLOCKS = ("source", "steps", "writer", "dataset")


class Places:
    """Folders that the paths of one pipeline are relative to.

    Args:
        home: Folder of the pipeline file; the current one for a pipeline in Python, and for a shipped one.
        is_file: True for a file that people write: variables in its paths are expanded, and paths of the current
            folder are taken, with a warning, if the file's own folder has none.
        frozen: Texts of the absolute paths in a pipeline that a run has frozen.

    Attributes:
        given: Place of each path in a block that the dataset depends on, as `show_path` writes it, to its text; those
            that differ only.
        warnings: A sentence for each path that only the current folder has.
    """

    def __init__(self, home: Path, *, is_file: bool = False, frozen: Mapping[str, str] | None = None) -> None:
        self.given: dict[str, str] = {}
        self.warnings: list[str] = []
        self._home = home
        self._is_file = is_file
        self._frozen = frozen or {}

    def values(self, model: type[BaseModel], nodes: Mapping[str, Located], where: KeyPath = ()) -> dict[str, Any]:
        """Return values as plain ones, with the texts that the model marks as paths made absolute.

        Args:
            model: Types of the values by name.
            nodes: The values.
            where: Place of the mapping that they are in.

        Raises:
            InvalidArguments: Naming each variable that is not set.
        """
        wrong: list[Mistake] = []
        found = {}
        for name, node in nodes.items():
            hint = model.model_fields[name].rebuild_annotation() if name in model.model_fields else None
            try:
                found[name] = self._value(node, (*where, name), hint)
            except InvalidArguments as exc:
                wrong += (Mistake(mistake.path[len(where) :], mistake.text) for mistake in exc.found)
        if wrong:
            raise InvalidArguments(wrong)
        return found

    def _value(self, node: Located, where: KeyPath, hint: Any) -> Any:
        if isinstance(node.value, str) and (mark := _mark(hint)):
            return self.path(node, where, mark)
        if isinstance(node.value, list) and (items := next(_items(hint), None)):
            return [self._value(item, (*where, index), items) for index, item in enumerate(node.value)]
        return node.plain()

    def path(self, node: Located, where: KeyPath, mark: PathMark) -> str:
        """Return a path as an absolute one; addresses and names stay as they are.

        Raises:
            InvalidArguments: If it names a variable that is not set.
        """
        text = str(node.value)
        is_own = self._is_file and not node.given
        path = _with_variables(text, where) if is_own else text
        if path and not is_remote(path) and path.endswith(mark.suffixes or ("",)):
            path = os.path.expanduser(path)
            home, here = self._home, Path.cwd()
            text = os.path.relpath(path, home) if node.given and not os.path.isabs(path) else text
            found = _joined(here if node.given else home, path, mark)
            if is_own and not _exists(found, mark) and _exists(before := _joined(here, path, mark), mark):
                self.warnings.append(
                    f"{show_path(where)}: {before} exists, and {found} does not; paths in a pipeline file are relative "
                    f"to the file, and the next version takes only these: write {os.path.relpath(before, home)}"
                )
                found = before
            path = found
        text = text if node.given else self._frozen.get(show_path(where), text)
        if text != path and where[0] in _BLOCKS:
            self.given[show_path(where)] = text
        return path


def _mark(hint: Any) -> PathMark | None:
    """Return the mark of a text, None if a type has none."""
    if get_origin(hint) is Annotated:
        own = (mark for mark in hint.__metadata__ if isinstance(mark, PathMark))
        return next(own, None) or _mark(hint.__origin__)
    arms = get_args(hint) if get_origin(hint) in (Union, UnionType) else ()
    return next(filter(None, map(_mark, arms)), None)


def _items(hint: Any) -> Iterator[Any]:
    """Yield the types of items that the lists of a type have."""
    if get_origin(hint) is list:
        yield get_args(hint)[0]
    elif get_origin(hint) is Annotated:
        yield from _items(hint.__origin__)
    elif get_origin(hint) in (Union, UnionType):
        for arm in get_args(hint):
            yield from _items(arm)


def _with_variables(text: str, where: KeyPath) -> str:
    names = {first or second for first, second in _VARIABLE.findall(text)}
    if missing := sorted(names - os.environ.keys()):
        told = f"the variable {missing[0]} is not set; expected export {missing[0]}=FOLDER before the command"
        raise InvalidArguments([Mistake(where, told)])
    return _VARIABLE.sub(lambda match: os.environ[match[1] or match[2]], text)


def _joined(home: Path, path: str, mark: PathMark) -> str:
    """Return the absolute path; a folder with [ or * in its name is not a pattern."""
    folder = glob.escape(str(home)) if mark.is_pattern and glob.has_magic(path) else str(home)
    return os.path.abspath(os.path.join(folder, path))


def _exists(path: str, mark: PathMark) -> bool:
    """Return True if there is a file or folder, or the run directory of an output that is not finished."""
    if mark.is_pattern and glob.has_magic(path) and any(True for _ in glob.iglob(path, recursive=True)):
        return True
    return os.path.lexists(path) or os.path.lexists(f"{path}.run")


def seen_from(folder: Path, path: str) -> str:
    """Return a path of the current folder as a pipeline file in `folder` has it: addresses and absolute ones stay."""
    is_kept = is_remote(path) or os.path.isabs(path) or os.path.abspath(folder) == os.getcwd()
    return path if is_kept else os.path.relpath(path, folder)
