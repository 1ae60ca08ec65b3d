"""Resolved pipeline: a pipeline with its blocks, checked and built once per command."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ...blocks.binding import Binding, Bound
from ...blocks.dataset_step import PHASES, DatasetStep, Phase
from ...blocks.episode_step import EpisodeStep, guarded
from ...blocks.reader import Reader
from ...core.errors import ConfigError, Problem, UsageError, undamaged
from ...core.features import Features
from ...core.version import __version__
from ...core.workspace import Workspace
from ...core.yaml_source import KeyPath, Located, locate, read_yaml
from ...formats.lerobot.datasets.dataset_edit import DatasetEdit
from ...manifests.run_info import RunInfo
from ...media.encode.settings import VideoSettings
from .arguments import BlockSpec, arguments_of, build
from .block_lookup import block_class, check_trusted, code_folder, look_in, module_of, one_line, use_of
from .executor_spec import other_executor
from .pipeline_file import apply_overrides, is_shipped, pipeline_file_text
from .pipeline_spec import GIVEN, PipelineSpec
from .places import Places
from .validation import PipelineCheck, default_dataset, full_form

CONVERT = "convert"  # the stage of source, steps and writer


def block_stage(number: int, use: str, phase: Phase) -> str:
    """Name a stage of the number-th block; outside code may bear any name, so only its class counts."""
    return f"{number + 1}-{use.rpartition(':')[2]}.{phase}"


class ResolvedPipeline:
    """A pipeline and its blocks.

    Args:
        spec: The pipeline as plain values.
        built: Blocks that are built already, by path; others are when they are first asked for.
        warnings: Sentences about paths of its file, see `Places.warnings`.
    """

    def __init__(
        self, spec: PipelineSpec, built: Mapping[KeyPath, Any] | None = None, warnings: Sequence[str] = ()
    ) -> None:
        self.spec = spec
        self.warnings = tuple(warnings)
        self._built = dict(built or {})

    def _block(self, path: KeyPath, block: BlockSpec) -> Any:
        if path not in self._built:
            self._built[path] = build(block)
        return self._built[path]

    def _blocks(self, key: str, blocks: Sequence[BlockSpec]) -> list[Any]:
        return [self._block((key, index), block) for index, block in enumerate(blocks)]

    @property
    def reader(self) -> Reader:
        """The source.

        Raises:
            UsageError: If there is none, or one that lists no episodes.
        """
        if self.spec.source is None:
            raise UsageError("pipeline", "takes episodes from datasets", "a pipeline with a `source`")
        reader = self._block(("source",), self.spec.source)
        if not isinstance(reader, Reader):
            raise UsageError("source", f"{self.spec.source.use} cannot list episodes", "a block derived from Reader")
        return reader

    @property
    def steps(self) -> list[Any]:
        """Steps for each episode, in order."""
        return self._blocks("steps", self.spec.steps)

    @property
    def may_drop(self) -> bool:
        """True if a step is a stock filter of datatrove, which drops episodes without a word: other steps reject."""
        return not all(isinstance(step, EpisodeStep) for step in self.steps)

    @property
    def writer(self) -> Any:
        """Writer of shards; None without a source."""
        return self._block(("writer",), self.spec.writer) if self.spec.writer else None

    @property
    def dataset(self) -> list[Any]:
        """Blocks that make the datasets, in order."""
        return self._blocks("dataset", self.spec.dataset)

    def check_blocks(self, features: Features, datasets: Sequence[str]) -> None:
        """Refuse, before the run begins, what a block cannot make of a dataset, or would lose of another.

        Args:
            features: Those of the dataset.
            datasets: Folders of the datasets that its episodes come from, or of the base that it appends to.

        Raises:
            UsageError: As the blocks do.
        """
        for block in self.dataset:
            block.check_features(features)
            block.check_datasets(features, [Path(folder) for folder in datasets])

    @property
    def annotations(self) -> dict[str, str]:
        """Columns of integers to "tasks" or "values", as the blocks say that make the datasets."""
        given = (getattr(block, "annotations", None) or {} for block in self.dataset)
        return {key: what for found in given for key, what in found.items()}

    @property
    def on_duplicate(self) -> str:
        """Effect of episodes that input datasets share, as the first block says that does not refuse them."""
        given = [block.on_duplicate for block in self.dataset if hasattr(block, "on_duplicate")] or ["keep"]
        return next((what for what in given if what != "refuse"), "refuse")

    @property
    def edit(self) -> DatasetEdit | None:
        """Changes to the input dataset, the same in all blocks that make datasets."""
        return next((edit for block in self.dataset if (edit := getattr(block, "edit", None)) is not None), None)

    @property
    def publish(self) -> list[Any]:
        """Blocks that publish the finished datasets, in order."""
        return self._blocks("publish", self.spec.publish)

    def kinds(self, key: Literal["dataset", "publish"]) -> list[tuple[str, type[DatasetStep]]]:
        """Return name and class of the blocks under a key; none is built for that."""
        blocks = self.spec.dataset if key == "dataset" else self.spec.publish
        return [
            (block.use, type(self._built[key, at]) if (key, at) in self._built else block_class(block.use))
            for at, block in enumerate(blocks)
        ]

    @property
    def video(self) -> VideoSettings:
        """Settings of videos: those of the writer, or of the first dataset block that has them."""
        found = (getattr(block, "video", None) for block in ((self.writer,) if self.writer else self.dataset))
        return next((video for video in found if isinstance(video, VideoSettings)), VideoSettings())

    @property
    def robot_type(self) -> str | None:
        """Name of the robot, as the writer says."""
        return getattr(self.writer, "robot_type", None)

    @property
    def formats(self) -> tuple[str, ...]:
        """LeRobot versions of the output."""
        return self.spec.formats

    @property
    def digest(self) -> str:
        """Digest of what determines the dataset, as it is now; see `spec_digest`."""
        return spec_digest(self.spec, __version__)

    def fresh_steps(self, stage: str, binding: Binding) -> list[Any]:
        """Build the steps of a stage, bound to a run: each rank has its own.

        Args:
            stage: CONVERT, or a name by `block_stage`.
            binding: The run.
        """
        if stage == CONVERT:
            steps = [guarded(_bound(block, binding)) for block in self.spec.steps]
            source, writer = (
                _bound(block, binding) if block else None for block in (self.spec.source, self.spec.writer)
            )
            return [block for block in (source, *steps, writer) if block]
        number, _, rest = stage.partition("-")
        phase = next(phase for phase in PHASES if rest.endswith(f".{phase}"))
        block = [*self.spec.dataset, *self.spec.publish][int(number) - 1]
        return [_bound(_with_inputs(block, binding.run), binding).stage(phase)]


def _with_inputs(block: BlockSpec, run: RunInfo) -> BlockSpec:
    """Give the run's datasets to every block that takes datasets, wherever the command was started."""
    if not run.inputs or "datasets" not in block.arguments:
        return block
    return replace(block, arguments={**block.arguments, "datasets": [dataset.path for dataset in run.inputs]})


def _bound(spec: BlockSpec, binding: Binding) -> Any:
    block = build(spec)
    if isinstance(block, Bound):
        block.bind(binding)
    return block


def load_frozen(workspace: Workspace) -> ResolvedPipeline:
    """Return the pipeline of an existing run; it was checked when the run was created.

    Raises:
        RobotroveError: If its file is damaged or missing.
        UsageError: If it names code that others may have written.
    """
    with undamaged(workspace.pipeline):
        spec = _frozen(workspace.pipeline.read_text(encoding="utf-8"), str(workspace.pipeline))
    if spec.code or any(":" in block.use for block in (*spec.blocks(), *spec.publish)):
        check_trusted(workspace.run_dir, spec.code)
    look_in(spec.code)
    return ResolvedPipeline(spec)


@lru_cache(maxsize=1)  # a worker asks for every rank, and there may be many datasets
def _frozen(text: str, source: str) -> PipelineSpec:
    return PipelineSpec.from_yaml(text, source)


def load_pipeline(path: Path, overrides: Sequence[str] = (), *, executor: str | None = None) -> ResolvedPipeline:
    """Read a pipeline file, check all of it, and build its blocks.

    Outside code is imported from what is installed, then from the folder of the file, the current
    folder and the file's `code` folders, in this order. Paths in the file are relative to it, see `Places`.

    Args:
        path: The file, or the name of a shipped pipeline.
        overrides: ``KEY=VALUE`` of the command line, see `apply_overrides`.
        executor: Where ranks run, instead of what the file says; its arguments there hold if it is the same one.

    Raises:
        ConfigError: With every mistake of the file and the overrides.
        UsageError: If the file cannot be read.
    """
    root, problems = read_yaml(pipeline_file_text(path), str(path))
    if root is None:
        smallest = "source: {files: [data/*.hdf5], layout: isaaclab}"
        raise ConfigError(str(path), [*problems, Problem(1, f"the file is empty; a pipeline has at least {smallest}")])
    folder = path.absolute().parent
    in_run, given = Workspace(folder, folder).run.is_file(), None
    if isinstance(root.value, dict) and GIVEN in root.value:  # of a run, or copied from one: paths are absolute
        given = root.value[GIVEN].plain()
        root = replace(root, value={key: node for key, node in root.value.items() if key != GIVEN})
    root, more = _overridden(root, overrides, executor)
    is_file = not (in_run or given or is_shipped(path))
    places = Places(folder, is_file=is_file, frozen=given if in_run and isinstance(given, dict) else None)
    return _checked(root, str(path), [folder, Path.cwd()], [*problems, *more], places)


def pipeline_of(
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
) -> ResolvedPipeline:
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
    return pipeline_of_content({**frozen, **settings})


def pipeline_of_content(content: Mapping[str, Any]) -> ResolvedPipeline:
    """Check a pipeline given as plain values, its blocks in the full form.

    Raises:
        ConfigError: With every mistake.
    """
    return _checked(locate(dict(content)), "pipeline", [], [], Places(Path.cwd()))


def _overridden(root: Located, overrides: Sequence[str], executor: str | None) -> tuple[Located, list[Problem]]:
    """Return a pipeline in the full form with what the command line says, and the mistakes in that."""
    # What `dataset` is without being given depends on the formats.
    first = [override for override in overrides if override.startswith("formats")]
    root, more = apply_overrides(root, first)
    root = full_form(root)
    if executor is not None and isinstance(root.value, dict):
        root = Located({**root.value, "executor": other_executor(root.value.get("executor"), executor)}, root.line)
    root, rest = apply_overrides(root, [override for override in overrides if override not in first])
    return full_form(root), more + rest


def _checked(
    root: Located, source: str, folders: Sequence[Path], problems: Sequence[Problem], places: Places
) -> ResolvedPipeline:
    check = PipelineCheck(root, folders, places)
    if problems or check.problems:
        raise ConfigError(source, [*problems, *check.problems])
    blocks, settings = check.blocks, check.settings
    uses = [block.use for block in blocks.values()]
    spec = PipelineSpec(
        source=blocks.get(("source",)),
        steps=tuple(block for path, block in blocks.items() if path[0] == "steps"),
        writer=blocks.get(("writer",)),
        dataset=tuple(block for path, block in blocks.items() if path[0] == "dataset"),
        publish=tuple(block for path, block in blocks.items() if path[0] == "publish"),
        append_to=settings.append_to,
        formats=check.formats,
        on_error=settings.on_error,
        output=settings.output,
        workers=settings.workers,
        executor=check.executor,
        code=tuple(dict.fromkeys(folder for use in uses if (folder := code_folder(use)))),
        given=places.given,
    )
    return ResolvedPipeline(spec, check.built, places.warnings)


def _freeze(block: Any, where: str, problems: list[Problem]) -> dict[str, Any]:
    try:
        use = use_of(block)
        return {"use": use, **arguments_of(block)}
    except ConfigError as exc:
        problems += [Problem(0, f"{where} ({use}): {problem.message}") for problem in exc.problems]
    except UsageError as exc:
        problems.append(Problem(0, f"{where}: {one_line(exc)}"))
    return {}


def code_digest(spec: PipelineSpec) -> str:
    """Return the sha256 of what the blocks read besides their arguments.

    That is the source of the modules that `use: module:Class` names, though not of what these import,
    and the files that arguments name, such as a robot manifest or a modality.json of one's own.
    """
    outside = (block.use for block in spec.blocks() if ":" in block.use)
    modules = {module.__name__: module for use in outside if (module := module_of(use))}
    digest = hashlib.sha256()
    for name in sorted(modules):
        source = Path(inspect.getfile(modules[name])).read_bytes()
        digest.update(f"{name} {len(source)}\n".encode() + source)
    for content in (Path(path).read_bytes() for block in spec.blocks() for path in _named_files(block)):
        digest.update(f"{len(content)}\n".encode() + content)  # the content of the pipeline has its name
    return digest.hexdigest()


def _named_files(block: BlockSpec) -> list[str]:
    texts = [value for value in block.arguments.values() if isinstance(value, str)]
    return [text for text in texts if text.endswith((".yaml", ".yml", ".json")) and Path(text).is_file()]


def spec_digest(spec: PipelineSpec, version: str) -> str:
    """Return the sha256 of what determines the dataset: content, outside code, robotrove's version.

    The order of keys counts: it can be an order of joints.
    """
    parts = {"content": spec.content(), "code": code_digest(spec), "version": version}
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
