"""Executor spec: executor of a pipeline file, its arguments, and for Slurm a profile of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.errors import ConfigError, Problem, nearest
from ...core.source_file import PathMark
from ...core.validation_messages import Mistake, described
from ...core.yaml_source import KeyPath, Located, read_yaml, show_path
from ...executors import EXECUTORS
from ...executors.executor import Executor
from .arguments import BlockSpec, InvalidArguments, arguments_model, checked_arguments, construct, frozen
from .places import Places

DEFAULT_EXECUTOR = "local"
PROFILE = "profile"
ELSEWHERE = "workers"  # a key of the pipeline itself, since every executor has it
_PROFILES = Path(__file__).parents[2] / "slurm" / "profiles"


def executor_form(node: Located) -> Located:
    """Return an executor written as ``{use: name, …}``; a mapping without a name is about Slurm."""
    if isinstance(node.value, str):
        return Located({"use": Located(node.value, node.line, node.given)}, node.line)
    if not isinstance(node.value, dict) or "use" in node.value:
        return node
    [name, *more] = node.value or [""]
    if name in EXECUTORS and not more:
        arguments = node.value[name]
        inside = {} if arguments.value is None else arguments.value
        if not isinstance(inside, dict):
            return node
        return Located({"use": Located(name, arguments.line), **inside}, node.line)
    return Located({"use": Located("slurm", node.line), **node.value}, node.line)


def other_executor(node: Located | None, use: str) -> Located:
    """Return the executor of a name, with the arguments that a file gives if it means the same one."""
    is_same = node is not None and isinstance(node.value, dict) and node.value["use"].value == use
    return node if node is not None and is_same else Located({"use": Located(use)})


def checked_executor(node: Located, places: Places) -> BlockSpec:
    """Return an executor with every argument explicit; those of its profile are overridden by its own.

    Args:
        node: An executor in the form of `executor_form`.
        places: What the file of a profile is relative to.

    Raises:
        InvalidArguments: With all that is wrong, by paths below the executor.
        ConfigError: With all that is wrong in its profile.
    """
    if not isinstance(node.value, dict):
        raise _wrong((), f"found {described(node.plain())}, expected one of {', '.join(EXECUTORS)}")
    arguments = node.plain()
    use = arguments.pop("use")
    if not isinstance(use, str) or use not in EXECUTORS:
        hint = nearest(use, EXECUTORS) if isinstance(use, str) else ""
        text = f"found {described(use)}{hint}, expected one of {', '.join(EXECUTORS)}"
        raise _wrong(("use",) if len(node.value) > 1 else (), text)
    if ELSEWHERE in arguments:
        raise _wrong((ELSEWHERE,), f"is a key of the pipeline itself; write {ELSEWHERE}: … there")
    cls = EXECUTORS[use]
    if PROFILE in arguments and use == "slurm":
        del arguments[PROFILE]
        arguments = {**_profile(node.value[PROFILE], places, cls), **arguments}
    values = checked_arguments(cls, arguments)
    construct(cls, values)
    return BlockSpec(use, _without_workers(frozen(values)))


def build_executor(spec: BlockSpec, workers: int | None) -> Executor:
    """Return the executor that a checked description stands for."""
    executor: Executor = construct(EXECUTORS[spec.use], {**spec.arguments, ELSEWHERE: workers})
    return executor


def shipped_profiles() -> list[str]:
    """Return the names of the profiles that need no path."""
    return sorted(path.stem for path in _PROFILES.glob("*.yaml"))


def _without_workers(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != ELSEWHERE}


def _profile(node: Located, places: Places, cls: type[Any]) -> dict[str, Any]:
    """Return the arguments that a profile says: one that is shipped by its name, others by the path of a file."""
    shipped, name = shipped_profiles(), node.value
    if not isinstance(name, str):
        raise _wrong((PROFILE,), f"found {described(node.plain())}, expected a name or a YAML file")
    path = _PROFILES / f"{name}.yaml" if name in shipped else Path(places.path(node, (PROFILE,), PathMark()))
    try:
        root, problems = read_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as exc:
        text = f"no such profile{nearest(name, shipped)}; expected one of {', '.join(shipped)}, or a YAML file"
        raise _wrong((PROFILE,), text) from exc
    root = root or Located({})
    found = root.plain()
    if not isinstance(found, dict):
        raise ConfigError(str(path), [Problem(root.line, f"found {described(found)}, expected options by name")])
    names = _without_workers(dict(arguments_model(cls).model_fields))
    for key in found.keys() - names.keys():
        line = root.at((key,)).line
        problems.append(Problem(line, f"{key}: no such option{nearest(key, names)}; options: {', '.join(names)}"))
    try:
        checked_arguments(cls, {key: value for key, value in found.items() if key in names})
    except InvalidArguments as exc:
        problems += [Problem(root.at(where).line, f"{show_path(where)}: {text}") for where, text, _ in exc.found]
    if problems:
        raise ConfigError(str(path), problems)
    return found


def _wrong(path: KeyPath, text: str) -> InvalidArguments:
    return InvalidArguments([Mistake(path, text)])
