"""Runner: creates or resumes a run, and runs its stages here or submits them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from shlex import quote

from ...blocks.binding import Binding
from ...core.errors import RankFailed, RobotroveError, UsageError, another_output, option
from ...core.workspace import Workspace
from ...executors.executor import Executor
from ...executors.slurm.submission import Detached, Submission
from ...executors.stage import RankMarks, Stage
from ...manifests.run_info import RunIdentity, RunInfo, Started
from ...manifests.run_report import RunReport
from ...manifests.shard import ShardDamaged
from ...manifests.shard_progress import damaged_shards
from ...media.encode.encoder import check_available, encoder_version
from ..plan.append_base import check_same_base
from ..plan.input_datasets import check_same_inputs
from ..spec.resolved_pipeline import ResolvedPipeline
from . import preflight
from .creation import NothingNew, create
from .reopen import forget_lost, move_aside, prepare_retry, set_damaged_aside
from .stages import stages
from .status import Silent, Watcher, status_of_stages

_ATTEMPTS = 3  # at the stages; more than one only where shards were damaged


def execute(
    pipeline: ResolvedPipeline,
    workspace: Workspace,
    executor: Executor,
    *,
    fresh: bool = False,
    retry_rejected: bool = False,
    accept_code: bool = False,
    watcher: Watcher | None = None,
) -> RunReport:
    """Run a pipeline to its end, or go on with a run that was interrupted.

    Args:
        pipeline: The pipeline.
        workspace: Run directory and output.
        executor: Where ranks run.
        fresh: Move an earlier run and its output aside and start over.
        retry_rejected: Try episodes again that a finished or unfinished run rejected for bad data.
        accept_code: Continue although the code of outside blocks was changed.
        watcher: Told about the progress.

    Raises:
        UsageError: For an output that is not ours, a run that was started with something else, or
            nothing to convert.
        RankFailed: If ranks failed; the same command resumes the run. Where shards were damaged, it has done so.
    """
    watcher = watcher or Silent()
    options = {"fresh": fresh, "retry_rejected": retry_rejected, "accept_code": accept_code}
    with _opened(pipeline, workspace, watcher, executor, **options) as begun:
        if isinstance(begun, RunReport):
            return begun
        watcher.started(status_of_stages(workspace, begun).read())
        with executor:
            for left in reversed(range(_ATTEMPTS)):
                known = list(damaged_shards(workspace))
                try:
                    _run_stages(workspace, begun, executor, watcher)
                    break
                except (RankFailed, ShardDamaged):
                    set_damaged_aside(workspace)
                    if not left or list(damaged_shards(workspace)) == known:
                        raise
                    forget_lost(workspace, RunInfo.read(workspace.run))
                    _forget_failures(begun)
    return RunReport.read(workspace.report)


def _run_stages(workspace: Workspace, begun: Sequence[Stage], executor: Executor, watcher: Watcher) -> None:
    status = status_of_stages(workspace, begun)  # a new one each time: it remembers shards
    executor.run(begun, lambda: watcher.progress(status.read()))
    watcher.progress(status.read())


def _forget_failures(begun: Sequence[Stage]) -> None:
    for stage in begun:
        RankMarks(stage.logs).forget(stage.missing())


def submit(
    pipeline: ResolvedPipeline,
    workspace: Workspace,
    executor: Detached,
    *,
    fresh: bool = False,
    retry_rejected: bool = False,
    accept_code: bool = False,
    watcher: Watcher | None = None,
) -> RunReport | Submission:
    """Submit what is missing of a run and leave it to the cluster; otherwise as `execute`.

    Returns:
        What was submitted, or the report of a run that is finished already.
    """
    watcher = watcher or Silent()
    options = {"fresh": fresh, "retry_rejected": retry_rejected, "accept_code": accept_code}
    with _opened(pipeline, workspace, watcher, executor, **options) as begun:
        return begun if isinstance(begun, RunReport) else executor.submit(begun)


@contextmanager
def _opened(
    pipeline: ResolvedPipeline,
    workspace: Workspace,
    watcher: Watcher,
    executor: Executor,
    *,
    fresh: bool,
    retry_rejected: bool,
    accept_code: bool,
) -> Iterator[RunReport | list[Stage]]:
    """Hold the run while the block works on it; gives its stages, or the report if it is finished."""
    if workspace.run.exists() and not fresh:
        # First, since whatever comes next may change the folder.
        preflight.check_same_version(workspace, lambda: _afresh(pipeline, workspace))
    if retry_rejected and pipeline.spec.source is None:
        raise UsageError(
            option("retry-rejected"), "this run takes all episodes of datasets and rejects none", todo="omit it"
        )
    preflight.check_apart(pipeline.spec, workspace)
    check_available(pipeline.video)
    if fresh or retry_rejected or not workspace.is_finished:
        preflight.check_publishable(pipeline, workspace)
    if fresh:
        move_aside(workspace, watcher.moved_aside)
    made = preflight.check_writable(workspace)
    try:
        with preflight.taken_back(made), preflight.in_words(workspace), preflight.exclusive(workspace):
            workspace.sweep()
            encoder = encoder_version(pipeline.video)
            if workspace.run.exists():
                run = RunInfo.read(workspace.run)
                run = preflight.check_same_pipeline(pipeline, run, workspace, encoder, accept_code=accept_code)
                binding = Binding(workspace, run)
                is_finished = workspace.is_finished and binding.has_output
                if pipeline.spec.source is None:
                    check_same_inputs(pipeline.spec, run.inputs, workspace, is_finished=is_finished)
                else:
                    preflight.check_same_sources(
                        pipeline.reader, workspace, is_finished=is_finished and not retry_rejected
                    )
                if retry_rejected or not binding.has_output:
                    check_same_base(binding, pipeline.spec.append_to)
                preflight.check_output_free(workspace, run)
                reopened = retry_rejected and prepare_retry(workspace, run)
                if is_finished and not reopened:
                    yield replace(RunReport.read(workspace.report), was_finished=True)
                    return
                forget_lost(workspace, run)
            else:
                preflight.check_output_free(workspace, None, pipeline.spec.append_to)
                create(pipeline, workspace, encoder, watcher.planning, most_ranks=executor.useful_ranks)
            Started.now().write(workspace.command)
            begun = stages(workspace)
            _forget_failures(begun)
            yield begun
    except NothingNew as exc:
        yield exc.report


def _afresh(pipeline: ResolvedPipeline, workspace: Workspace) -> str:
    """Return how to start over; a base that an interrupted append had moved away has to come back first."""
    with suppress(RobotroveError):
        if other := preflight.other_run(pipeline, workspace):
            return another_output(other)
    start_over = f"start over with {option('fresh')}, which moves this run aside, or with {option('output', 'NEW')}"
    base = workspace.output_before(RunIdentity.read(workspace.run).run_id)
    is_between = base.exists() and not workspace.output.exists()
    return f"mv {quote(str(base))} {quote(str(workspace.output))}, then {start_over}" if is_between else start_over
