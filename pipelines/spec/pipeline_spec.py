"""Pipeline spec: a pipeline as plain values, as it is frozen in a run directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ...core.yaml_source import KeyPath, dump_yaml, read_yaml, show_path
from .arguments import BlockSpec
from .executor_spec import DEFAULT_EXECUTOR

GIVEN = "given"  # key of a frozen pipeline


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
    found += [f"{show_path((*path, key))}: {_show(value)} is missing" for key, value in old.items() if key not in new]
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
        output: Absolute folder of the finished dataset.
        workers: Processes at a time, None for as many as there are CPUs.
        executor: Where ranks run.
        code: Absolute folders that the modules of outside blocks are in, so that workers find them.
        given: Place of each path among the arguments, such as ``source.files[0]``, to its text in the pipeline file;
            the arguments have absolute paths. Those that differ only.
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
    given: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """Return what determines the dataset, as plain values; paths as they were given, so that it may move."""
        return {key: _as_given(value, self.given, (key,)) for key, value in self._content().items()}

    def _content(self) -> dict[str, Any]:
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
        given = {GIVEN: dict(self.given)} if self.given else {}
        return dump_yaml({**self._content(), **self._places(), **settings, **given})

    @classmethod
    def from_yaml(cls, text: str, source: str = "pipeline.yaml") -> PipelineSpec:
        """Return the pipeline that `to_yaml` wrote; it was checked then, and is not again.

        Raises:
            ConfigError: If it is no YAML; `source` names the file in it.
            KeyError: If something is missing; a TypeError or an AttributeError if something is none of what is written.
        """
        root, _ = read_yaml(text, source)
        content = root.plain() if root else {}
        for key in ("steps", "dataset", "publish"):
            content[key] = tuple(map(_block_of, content.get(key, ())))
        for key in ("source", "writer", "executor"):
            content[key] = _block_of(content[key]) if key in content else None
        return cls(**{**content, "formats": tuple(content["formats"]), "code": tuple(content["code"])})

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
        """Datasets that episodes are taken from: absolute folders, or names on the Hub; none with a source."""
        return next((tuple(found) for block in self.dataset if (found := block.arguments.get("datasets"))), ())


def _as_given(value: Any, given: Mapping[str, str], path: KeyPath) -> Any:
    """Return a plain value with the texts that its paths were given as."""
    if isinstance(value, Mapping):
        return {key: _as_given(item, given, (*path, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_given(item, given, (*path, index)) for index, item in enumerate(value)]
    return given.get(show_path(path), value) if isinstance(value, str) else value


def _block(block: BlockSpec) -> dict[str, Any]:
    return {"use": block.use, **block.arguments}


def _block_of(content: Any) -> BlockSpec:
    return BlockSpec(content) if isinstance(content, str) else BlockSpec(content.pop("use"), content)
