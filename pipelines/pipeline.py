"""Pipelines in Python: the same blocks, names and arguments as in a pipeline file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ..blocks.writer.shard_writer import ShardWriter
from ..core.errors import UsageError
from ..executors.executor import Executor
from ..manifests.run_report import RunReport
from .plan.append_base import workspace_of_append
from .plan.input_datasets import DatasetInputs, read_inputs
from .plan.planner import Plan, make_plan
from .run.runner import execute
from .run.status import Watcher
from .spec.arguments import BlockSpec, InvalidArguments
from .spec.executor_spec import build_executor
from .spec.pipeline_spec import PipelineSpec
from .spec.resolved_pipeline import load_pipeline, pipeline_of


class Pipeline:
    """A conversion: a source, steps for each episode, a writer; or blocks that make a dataset of datasets.

    Args:
        source: Where episodes come from, for example `Hdf5Reader(files=["*.hdf5"], layout="isaaclab")`; None if
            they come from datasets, for example with `dataset=[Aggregator(datasets=["one", "two"]), DatasetStats()]`.
        steps: What happens to each episode, in order.
        writer: How episodes are stored; `ShardWriter()` by default where there is a source.
        dataset: What makes the datasets; `[Aggregator(), DatasetStats()]` by default, and a `Downgrader()` for v2.1.
        publish: What the finished datasets are handed to, for example `[HubPublisher(repo_id="lab/cubes")]`.
        append_to: A finished dataset, a folder or hf://datasets/OWNER/NAME, that the episodes are added to.
        formats: LeRobot versions of the output; those that `dataset` makes by default.
        on_error: Leave a bad episode out ("reject"), or end the run ("stop").

    Raises:
        ConfigError: If a block cannot be frozen: a function, a class of `__main__`, an argument
            that YAML cannot hold.
    """

    def __init__(
        self,
        *,
        source: Any = None,
        steps: Sequence[Any] = (),
        writer: Any = None,
        dataset: Sequence[Any] | None = None,
        publish: Sequence[Any] = (),
        append_to: str | Path | None = None,
        formats: Sequence[str] | None = None,
        on_error: Literal["reject", "stop"] = "reject",
    ) -> None:
        if source is not None and writer is None:
            writer = ShardWriter()
        self.resolved = pipeline_of(
            source,
            steps,
            writer,
            dataset,
            publish=publish,
            append_to=None if append_to is None else str(append_to),
            formats=formats,
            on_error=on_error,
        )

    @classmethod
    def from_yaml(cls, path: str | Path, overrides: Sequence[str] = ()) -> Pipeline:
        """Read a pipeline file; `overrides` are `KEY=VALUE` as on the command line."""
        pipeline = cls.__new__(cls)
        pipeline.resolved = load_pipeline(Path(path), overrides)
        for text in pipeline.resolved.warnings:
            warnings.warn(text, FutureWarning, stacklevel=2)
        return pipeline

    @property
    def spec(self) -> PipelineSpec:
        """The pipeline as plain values."""
        return self.resolved.spec

    def plan(self) -> Plan | DatasetInputs:
        """Say what a run would do, or without a source what it would start from; writes nothing."""
        if self.spec.source:
            return make_plan(self.resolved)
        resolved = self.resolved
        return read_inputs(
            self.spec.datasets, resolved.annotations, on_duplicate=resolved.on_duplicate, edit=resolved.edit
        )

    def run(
        self,
        *,
        output: str | Path,
        run_dir: str | Path | None = None,
        executor: Executor | str = "local",
        workers: int | None = None,
        fresh: bool = False,
        retry_rejected: bool = False,
        accept_code: bool = False,
        watcher: Watcher | None = None,
    ) -> RunReport:
        """Convert, or go on with a conversion that was interrupted.

        Args:
            output: Folder of the finished dataset; it appears when it is complete.
            run_dir: Folder for everything else; `<output>.run` by default.
            executor: An executor, or its name.
            workers: Processes at a time; one per CPU by default.
            fresh: Move an earlier run aside and start over.
            retry_rejected: Try episodes again that were rejected for bad data.
            accept_code: Continue although the code of outside blocks was changed.
            watcher: Told about the progress.

        Raises:
            RobotroveError: See `robotrove.pipelines.run.runner.execute`.
        """
        if isinstance(executor, str):
            try:
                executor = build_executor(BlockSpec(executor), workers)
            except InvalidArguments as exc:
                raise UsageError("executor", "; ".join(mistake.text for mistake in exc.found)) from exc
        workspace = workspace_of_append(self.spec, Path(output), Path(run_dir) if run_dir else None)
        options: dict[str, Any] = {"fresh": fresh, "retry_rejected": retry_rejected, "accept_code": accept_code}
        return execute(self.resolved, workspace, executor, **options, watcher=watcher)
