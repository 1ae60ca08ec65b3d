"""Pipeline spec: a pipeline as plain values, from a file, from Python, or frozen in a run directory."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ...core.errors import ConfigError, Problem, UsageError
from ...core.workspace import Workspace
from ...core.yaml_source import KeyPath, Located, dump_yaml, locate, read_yaml, show_path
from ...hub.address import is_on_hub
from .arguments import BlockSpec, arguments_of
from .block_lookup import code_folder, one_line, use_of
from .executor_spec import DEFAULT_EXECUTOR, other_executor
from .overrides import apply_overrides
from .shipped_pipelines import pipeline_file_text
from .validation import PipelineCheck, default_dataset, full_form


def differences(new: Any, old: Any, path: KeyPath = ()) -> list[str]:
    """Say where plain values differ, a line each: ``steps[1].min_length: 20 was 10``."""
    where = show_path(path)
    if isinstance(new, list) and isinstance(old, list):
        new, old = dict(enumerate(new)), dict(enumerate(old))
    if not (isinstance(new, Mapping) and isinstance(old, Mapping)):
        return [] if new == old and type(new) is type(old) else [f"{where}: {_show(new)} was {_show(old)}"]
    if new.get("use") != old.get("use") and path:
        return [f"{where}: {_show(new)} was {_show(old)}"]
    found = [f"{show_path((*path, key))}: {_show(value)} is new" for key, value in new.items() if key not in old]
    found += [f"{show_path((*path, key))}: {_show(value)} is gone" for key, value in old.items() if key not in new]
    for key in new:
        if key in old:
            found += differences(new[key], old[key], (*path, key))
    if not found and list(new) != list(old):
        found.append(f"{where}: keys in the order {', '.join(new)} were {', '.join(old)}")
    return found


def _show(value: Any) -> str:
    if isinstance(value, dict) and "use" in value:
        return str(value["use"])
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class PipelineSpec:
    """A checked pipeline: plain values only, every argument of every block explicit.

    Attributes:
        source: The reader; None if the dataset blocks take episodes from datasets.
        steps: What happens to each episode, in order; nothing without a source.
        writer: What writes shards; None without a source.
        dataset: What makes the datasets, in order.
        publish: What the finished datasets are handed to, in order.
        append_to: The dataset that episodes are added to: an absolute folder, or a name on the Hub.
        formats: LeRobot versions of the output.
        on_error: Whether a bad episode is left out ("reject") or ends the run ("stop").
        output: Folder of the finished dataset, as given.
        workers: Processes at a time, None for as many as there are CPUs.
        executor: Where ranks run.
        code: Absolute folders that the modules of outside blocks are in, so that workers find them.
    """

    source: BlockSpec | None
    steps: tuple[BlockSpec, ...]
    writer: BlockSpec | None
    dataset: tuple[BlockSpec, ...]
    publish: tuple[BlockSpec, ...] = ()
    append_to: str | None = None
    formats: tuple[str, ...] = ("v3.0",)
    on_error: Literal["reject", "stop"] = "reject"
    output: str | None = None
    workers: int | None = None
    executor: BlockSpec = field(default_factory=lambda: BlockSpec(DEFAULT_EXECUTOR))
    code: tuple[str, ...] = ()

    def content(self) -> dict[str, Any]:
        """Return what determines the dataset, as plain values; source files and datasets as they were given."""
        return {
            **({"source": _block(self.source), "steps": [_block(step) for step in self.steps]} if self.source else {}),
            **({"writer": _block(self.writer)} if self.writer else {}),
            "dataset": [_block(step) for step in self.dataset],
            "formats": list(self.formats),
            "on_error": self.on_error,
        }

    def to_yaml(self) -> str:
        """Return the frozen pipeline file: full form, everything explicit, always in the same order."""
        executor = _block(self.executor) if self.executor.arguments else self.executor.use
        settings = {"output": self.output, "workers": self.workers, "executor": executor, "code": list(self.code)}
        return dump_yaml({**self.content(), **self._places(), **settings})

    @classmethod
    def from_yaml(cls, text: str, source: str = "pipeline.yaml") -> PipelineSpec:
        """Read and check a pipeline, such as a frozen one; outside code is found through its `code`.

        Raises:
            ConfigError: With every mistake; `source` names the file in it.
        """
        return _parse(text, source, (), None, None)

    def differences(self, other: PipelineSpec) -> list[str]:
        """Say where this pipeline would make another dataset than `other`: ``steps[1].min_length: 20 was 10``."""
        return differences({**self.content(), **self._places()}, {**other.content(), **other._places()})

    def _places(self) -> dict[str, Any]:
        """Return which other places have to do with the dataset; it does not depend on where they are."""
        return {
            **({"append_to": self.append_to} if self.append_to else {}),
            **({"publish": [_block(block) for block in self.publish]} if self.publish else {}),
        }

    def blocks(self) -> tuple[BlockSpec, ...]:
        """Return every block that the dataset depends on."""
        return tuple(filter(None, (self.source, *self.steps, self.writer, *self.dataset)))

    @property
    def datasets(self) -> tuple[str, ...]:
        """Folders of the datasets that episodes are taken from, as given; none with a source."""
        return next((tuple(found) for block in self.dataset if (found := block.arguments.get("datasets"))), ())


def load_spec(path: Path, overrides: Sequence[str] = (), *, executor: str | None = None) -> PipelineSpec:
    """Read a pipeline file and check all of it.

    Outside code is imported from what is installed, then from the folder of the file, the current
    folder and the file's `code` folders (relative to the file), in this order.

    Args:
        path: The file, or the name of a shipped pipeline.
        overrides: ``KEY=VALUE`` of the command line, see `apply_overrides`.
        executor: Where ranks run, instead of what the file says; its arguments there hold if it is the same one.

    Raises:
        ConfigError: With every mistake of the file and the overrides.
        UsageError: If the file cannot be read.
    """
    text = pipeline_file_text(path)
    return _parse(text, str(path), overrides, path.absolute().parent, executor)


def spec_of(
    source: Any,
    steps: Sequence[Any],
    writer: Any,
    dataset: Sequence[Any] | None = None,
    *,
    publish: Sequence[Any] = (),
    append_to: str | None = None,
    formats: Sequence[str] | None = None,
    on_error: str = "reject",
    output: str | None = None,
    workers: int | None = None,
) -> PipelineSpec:
    """Freeze a pipeline made of Python objects; the result equals that of the same pipeline file.

    Raises:
        ConfigError: Naming each block that cannot be frozen (a function, a class of ``__main__``) and
            each argument that YAML cannot hold.
    """
    problems: list[Problem] = []
    frozen: dict[str, Any] = {}
    if source is not None:
        frozen["source"] = _freeze(source, "source", problems)
    if source is not None or steps:
        frozen["steps"] = [_freeze(step, f"steps[{index}]", problems) for index, step in enumerate(steps)]
    if writer is not None:
        frozen["writer"] = _freeze(writer, "writer", problems)
    if dataset is None:
        frozen["dataset"] = [{"use": name} for name in default_dataset(formats)]
    else:
        frozen["dataset"] = [_freeze(step, f"dataset[{index}]", problems) for index, step in enumerate(dataset)]
    frozen["publish"] = [_freeze(step, f"publish[{index}]", problems) for index, step in enumerate(publish)]
    if problems:
        raise ConfigError("pipeline", problems)
    settings = {"formats": formats and list(formats), "on_error": on_error, "output": output, "workers": workers}
    settings |= {"append_to": append_to}
    return _checked(locate({**frozen, **settings}), "pipeline", [], [], Path.cwd())


def _parse(text: str, source: str, overrides: Sequence[str], folder: Path | None, executor: str | None) -> PipelineSpec:
    root, problems = read_yaml(text, source)
    if root is None:
        smallest = "source: {files: [data/*.hdf5], layout: isaaclab}"
        raise ConfigError(source, [*problems, Problem(1, f"the file is empty; a pipeline has at least {smallest}")])
    # What `dataset` is without being given depends on the formats.
    first = [override for override in overrides if override.startswith("formats")]
    root, more = apply_overrides(root, first)
    root = full_form(root)
    if executor is not None and isinstance(root.value, dict):
        root = Located({**root.value, "executor": other_executor(root.value.get("executor"), executor)}, root.line)
    root, rest = apply_overrides(root, [override for override in overrides if override not in first])
    more += rest
    folders = [folder, Path.cwd()] if folder else []
    return _checked(full_form(root), source, folders, [*problems, *more], folder or Path.cwd())


def _checked(
    root: Located, source: str, folders: Sequence[Path], problems: Sequence[Problem], home: Path
) -> PipelineSpec:
    check = PipelineCheck(root, folders, home)
    if problems or check.problems:
        raise ConfigError(source, [*problems, *check.problems])
    blocks, settings = check.blocks, check.settings
    uses = [block.use for block in blocks.values()]
    return PipelineSpec(
        source=blocks.get(("source",)),
        steps=tuple(block for path, block in blocks.items() if path[0] == "steps"),
        writer=blocks.get(("writer",)),
        dataset=tuple(block for path, block in blocks.items() if path[0] == "dataset"),
        publish=tuple(block for path, block in blocks.items() if path[0] == "publish"),
        append_to=_absolute(settings.append_to),
        formats=check.formats,
        on_error=settings.on_error,
        output=settings.output,
        workers=settings.workers,
        executor=check.executor,
        code=tuple(dict.fromkeys(folder for use in uses if (folder := code_folder(use)))),
    )


def _absolute(dataset: str | None) -> str | None:
    """Return a dataset as workers and later commands find it, wherever they are started."""
    if dataset is None or is_on_hub(dataset):
        return dataset
    return os.path.abspath(os.path.expanduser(dataset))


def _block(block: BlockSpec) -> dict[str, Any]:
    return {"use": block.use, **block.arguments}


def _freeze(block: Any, where: str, problems: list[Problem]) -> dict[str, Any]:
    try:
        use = use_of(block)
        return {"use": use, **arguments_of(block)}
    except ConfigError as exc:
        problems += [Problem(0, f"{where} ({use}): {problem.message}") for problem in exc.problems]
    except UsageError as exc:
        problems.append(Problem(0, f"{where}: {one_line(exc)}"))
    return {}


def frozen_spec(workspace: Workspace) -> PipelineSpec:
    """Return the pipeline of a run that exists."""
    return _parsed(workspace.pipeline.read_text(encoding="utf-8"), str(workspace.pipeline))


@lru_cache(maxsize=1)  # a worker asks for every rank, and a frozen pipeline with many datasets takes a while to check
def _parsed(text: str, source: str) -> PipelineSpec:
    return PipelineSpec.from_yaml(text, source)
