"""Block lookup: from the name of a block to its class and back, and the roles of classes.

Outside code (`use: my_lab.blocks:DeburrFilter`) is imported from what is installed first, then from
the folders given: they are appended to `sys.path`, so that a file beside a pipeline never shadows
an installed module, and stay there, since outside code may import its neighbours later.
"""

from __future__ import annotations

import inspect
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from shlex import quote
from types import ModuleType
from typing import Any, Literal, TypeAlias

from datatrove.pipeline.base import PipelineStep

from ...blocks import BLOCKS
from ...blocks.dataset_step import DatasetStep
from ...blocks.episode_step import EpisodeStep
from ...core.errors import RobotroveError, UsageError, nearest, packages_needed

Role: TypeAlias = Literal["source", "step", "writer", "dataset", "publish"]

_BLOCK_KINDS = (PipelineStep, DatasetStep)
_STOCK = "datatrove."
_FILTERS = "datatrove.pipeline.filters"
_STOCK_REASONS = {
    "decont": "compares documents with other data sets",
    "dedup": "compares documents with each other, so it needs all of them",
    "executor": "runs pipelines and is not a step",
    "inference": "sends many documents at a time",
    "readers": "reads text documents, not episodes",
    "stats": "measures text documents, not episodes",
    "tokens": "turns text into tokens and shuffles it",
    "writers": "writes text documents, not episodes",
}


def block_class(use: str, folders: Sequence[Path] = ()) -> type[Any]:
    """Return the class that a pipeline file means by `use`.

    Args:
        use: A registered name, or "module:Class" for outside code.
        folders: Where outside code may be besides what is installed.

    Raises:
        UsageError: If there is no such block, or its module cannot be imported.
        RobotroveError: If one of ours needs a package that is missing here.
    """
    if ":" not in use:
        if use not in BLOCKS:
            dotted = use.rpartition(".")
            hint = f" (for outside code write {dotted[0]}:{dotted[2]})" if dotted[0] else nearest(use, BLOCKS)
            raise UsageError("", f"no such block{hint}; blocks: {', '.join(BLOCKS)}")
        with packages_needed():
            registered: type[Any] = BLOCKS[use]
            return registered
    module_name, _, qualname = use.partition(":")
    _refuse_stock(module_name, qualname)
    found: Any = _module(module_name, folders)
    for part in qualname.split("."):
        if not hasattr(found, part):
            raise UsageError("", f"{found.__name__} has no {part!r}{nearest(part, vars(found))}")
        found = getattr(found, part)
    return _as_class(found)


def use_of(block: object) -> str:
    """Return the name that a pipeline file uses for the class of a block: registered, or "module:Class".

    Raises:
        UsageError: If workers could not import the class: it is one of `__main__`, or inside a function.
    """
    if inspect.isclass(block):
        raise UsageError("", f"{block.__name__} is a class; give a block of it: {block.__name__}(…)")
    if not isinstance(block, _BLOCK_KINDS):
        kind = "a function" if inspect.isroutine(block) else f"a {type(block).__name__}"
        name = getattr(block, "__qualname__", repr(block))
        raise UsageError(
            "", f"{name} is {kind}, which cannot be frozen; make it a class derived from EpisodeFilter, in a module"
        )
    cls = type(block)
    registered = str(getattr(cls, "name", ""))
    if registered in BLOCKS and BLOCKS[registered] is cls:
        return registered
    use = f"{cls.__module__}:{cls.__qualname__}"
    if cls.__module__ == "__main__":
        raise UsageError("", f"the class {cls.__qualname__} is in __main__; put it in a module")
    if "<locals>" in cls.__qualname__ or block_class(use) is not cls:
        raise UsageError("", f"the class {use} cannot be imported by name; put it at the top level of a module")
    return use


def check_role(cls: type[Any], role: Role) -> None:
    """Check that blocks of a class may be the source, a step or the writer of a pipeline.

    The class attribute `role` says which, "step" unless given.

    Raises:
        UsageError: If they may not, with the reason.
    """
    actual = role_of(cls)
    if actual == role:
        return
    if actual is not None:
        kind = "dataset block" if actual == "dataset" else "block for `publish:`" if actual == "publish" else actual
        raise UsageError("", f"is a {kind} and cannot be used as the {role} of a pipeline")
    _refuse_stock(cls.__module__, cls.__qualname__)
    if stock_filter(cls):
        raise UsageError("", "is a datatrove filter with a run() of its own, which may batch or reorder episodes")
    expected = "a class derived from EpisodeFilter or EpisodeMap" if role == "step" else f"a class with role = {role!r}"
    raise UsageError("", f"cannot be used as the {role} of a pipeline, that is {expected}")


def role_of(cls: type[Any]) -> str | None:
    """Return where in a pipeline file blocks of a class may stand, None for nowhere."""
    declared = getattr(cls, "role", "step")
    if declared != "step":
        return str(declared)
    stock = stock_filter(cls)
    takes_one = stock is not None and getattr(cls, "run", None) is stock.run
    return "step" if issubclass(cls, EpisodeStep) or takes_one else None


def stock_filter(cls: type[Any]) -> Any:
    """Return datatrove's BaseFilter if `cls` derives from it, else None.

    Found by name: importing `datatrove.pipeline.filters` needs the package `regex`.
    """
    home = f"{_FILTERS}.base_filter"
    return next((base for base in cls.__mro__ if base.__name__ == "BaseFilter" and base.__module__ == home), None)


def module_of(use: str) -> ModuleType | None:
    """Return the imported module of outside code, None for a registered name."""
    return _module(use.partition(":")[0], ()) if ":" in use else None


def look_in(folders: Sequence[str | Path]) -> None:
    """Have outside code imported from folders, after what is installed."""
    sys.path.extend(str(folder) for folder in folders if str(folder) not in sys.path)


def check_trusted(run_dir: Path, code: Iterable[str | Path]) -> None:
    """Refuse to import what a run directory names where others may have written it; warn of what a group may write.

    Raises:
        UsageError: If the run directory, its pipeline file or a folder of code belongs to another user than this one or
            root, or everybody may write there.
    """
    for path in map(str, (run_dir, run_dir / "pipeline.yaml", *code)):
        with suppress(FileNotFoundError):
            if found := _risk(path):
                raise UsageError(
                    path,
                    f"{found}, and blocks that this run names would be imported",
                    "a run directory, and code, that only you or root can write",
                    f"read them; then cp -r {quote(path)} to a folder of yours, or chmod o-w {quote(path)}",
                )


@cache  # a worker asks for each rank
def _risk(path: str) -> str:
    status = os.stat(path)
    if status.st_uid not in (0, os.geteuid()):
        return f"belongs to the user {status.st_uid}"
    if status.st_mode & stat.S_IWOTH:
        return "may be written by everybody"
    if status.st_mode & stat.S_IWGRP:
        print(f"warning: {path} may be written by its group; chmod g-w {quote(path)}", file=sys.stderr)
    return ""


def code_folder(use: str) -> str | None:
    """Return the folder to search for the module of outside code; None if it is installed or ours."""
    module = module_of(use)
    if module is None or not module.__file__:
        return None
    parts = module.__name__.split(".")
    file = Path(module.__file__).resolve()
    folder = file.parents[len(parts) - (0 if hasattr(module, "__path__") else 1)]
    is_installed = "site-packages" in folder.parts or "dist-packages" in folder.parts
    # An editable install may map a folder of any name to the package: that folder is no search path.
    is_mapped = not (folder / parts[0]).is_dir() and not (folder / f"{parts[0]}.py").is_file()
    return None if is_installed or is_mapped else str(folder)


def _module(name: str, folders: Sequence[Path]) -> ModuleType:
    for run_dir in (folder for folder in folders if (folder / "run.json").exists()):
        check_trusted(run_dir, [folder for folder in folders if folder != Path.cwd()])
    look_in(folders)
    try:
        return import_module(name)
    except Exception as exc:  # outside code may raise anything while it is imported
        looked = f"; looked in what is installed, {', '.join(map(str, folders))}" if folders else ""
        moved = isinstance(exc, ModuleNotFoundError) and (exc.name or "").startswith("robotrove.")
        hint = "; modules moved in 0.2.2: `from robotrove import …` has the public names" if moved else looked
        raise UsageError("", f"cannot be imported: {one_line(exc)}{hint}") from exc


def _as_class(found: Any) -> type[Any]:
    if not inspect.isclass(found) or not issubclass(found, _BLOCK_KINDS):
        raise UsageError("", "is not a block: a block is a class derived from EpisodeFilter or EpisodeMap")
    return found


def _refuse_stock(module: str, name: str) -> None:
    if module.startswith(_STOCK) and not module.startswith(_FILTERS):
        area = next((part for part in module.split(".") if part in _STOCK_REASONS), "")
        reason = _STOCK_REASONS.get(area, "is not known to take one document at a time")
        raise UsageError(
            "", f"datatrove's {name} {reason}; of datatrove's own steps only filters with batch_size 1 can be used"
        )


def one_line(exc: BaseException) -> str:
    """Return an exception's text on one line, with its type unless it is worded for users."""
    text = "; ".join(line.strip() for line in str(exc).splitlines())
    return text if isinstance(exc, RobotroveError | ValueError) else f"{type(exc).__name__}: {text}"
