"""Preflight: checks before a run begins or is resumed, and the lock that allows one command at a time."""

from __future__ import annotations

import itertools
import os
import shlex
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...blocks.binding import Binding
from ...blocks.reader import Reader
from ...core.commit import look_again
from ...core.errors import RobotroveError, RunChanged, RunLocked, RunOfOtherVersion, UsageError, option
from ...core.lease import lease
from ...core.version import __version__
from ...core.workspace import Workspace
from ...executors.slurm.job_states import JobStates
from ...hub.address import is_on_hub
from ...manifests.manifest import Manifest
from ...manifests.run_info import RunIdentity, RunInfo
from ...media.encode.encoder import encoder_version
from ..plan.input_datasets import local_folder
from ..spec.pipeline_spec import PipelineSpec
from ..spec.resolved_pipeline import ResolvedPipeline, load_frozen

_SHOWN = 3  # inputs of another run
_CODE_CHANGED = "the source code of an outside block, or a file that an argument names, was changed"


@contextmanager
def in_words(workspace: Workspace) -> Iterator[None]:
    """Say in words what the file system refused to this process."""
    try:
        yield
    except OSError as exc:
        raise RobotroveError(
            str(exc.filename or workspace.run_dir),
            exc.strerror or str(exc),
            "room and permission to write in the run directory and beside the output",
            "fix it, then rerun the command to resume",
        ) from exc


def check_writable(workspace: Workspace) -> list[Path]:
    """Make the run directory and the folder of the output, or refuse them; return what was made, innermost first."""
    made: list[Path] = []
    with taken_back(made):
        for folder in (workspace.output.parent, workspace.run_dir):
            made[:0] = itertools.takewhile(lambda place: not os.path.lexists(place), (folder, *folder.parents))
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as exc:
                raise UsageError(
                    str(folder), f"cannot be made: {exc.strerror}", "a folder that can be written"
                ) from exc
            if not os.access(folder, os.W_OK | os.X_OK):
                raise UsageError(
                    str(folder), "cannot be written", "a folder that can be written", option("output", "DIR")
                )
    return made


@contextmanager
def taken_back(made: Sequence[Path]) -> Iterator[None]:
    """Remove folders that are still empty if the block fails: a command that was refused leaves nothing behind."""
    try:
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise


@contextmanager
def exclusive(workspace: Workspace) -> Iterator[None]:
    """Hold the run while the block runs.

    Raises:
        RunLocked: If another command holds it, or jobs of it are not over.
        RobotroveError: If there may be such jobs, and this machine cannot tell.
    """
    with lease(workspace.lock):
        _check_no_jobs(workspace)
        yield


def _check_no_jobs(workspace: Workspace) -> None:
    look_again(workspace.jobs)
    states = JobStates(workspace.jobs)
    if states.submission is None or workspace.is_finished:
        return
    who = f"{states.submission.user}, submitted on {states.submission.host},"
    if states.live is None:
        raise RobotroveError(
            str(workspace.jobs),
            f"no cluster says whether the jobs {', '.join(states.numbers)} of {who} have ended",
            "a machine where squeue works",
            f"rerun the command there; if they have ended, remove {workspace.jobs}",
        )
    run_dir = shlex.quote(str(workspace.run_dir))
    if states.live:
        raise RunLocked(
            str(workspace.run_dir),
            f"job {', '.join(states.numbers)} of {who}",
            f"robotrove status {run_dir} shows it, robotrove cancel {run_dir} ends it",
        )


def check_output_free(workspace: Workspace, run: RunInfo | None, base: str | None = None) -> None:
    """Refuse an output that this run did not make, unless it is the dataset that the run appends to."""
    if not os.path.lexists(workspace.output):  # a link to nothing is in the way too
        return
    base = run.base.path if run is not None and run.base is not None else base
    if base != str(workspace.output) and (run is None or not Binding(workspace, run).made_output):
        raise UsageError(
            str(workspace.output),
            "already exists and is not the output of this run",
            "a folder that does not exist yet",
            f"choose another with {option('output', 'DIR')}, or move it away",
        )


def check_apart(spec: PipelineSpec, workspace: Workspace) -> None:
    """Refuse an output or a run directory that is in an input, and an input that is in one of these.

    Raises:
        UsageError: Naming both.
    """
    folders = [local_folder(folder) for folder in spec.datasets]
    # What is appended to may make room for its successor when that is complete.
    if spec.append_to and not is_on_hub(spec.append_to) and spec.append_to != str(workspace.output):
        folders.append(Path(spec.append_to))
    for folder in folders:
        real = Path(os.path.realpath(folder))
        for name, other in (("output", workspace.output), ("run directory", workspace.run_dir)):
            place = Path(os.path.realpath(other))
            if real.is_relative_to(place) or place.is_relative_to(real):
                raise UsageError(
                    str(folder),
                    f"would be in the way of the {name} {other}: one is in the other",
                    "folders that are apart; what episodes are taken from is never changed",
                    f"choose another: {option(name.replace(' directory', '-dir'), 'DIR')}",
                )


def check_publishable(pipeline: ResolvedPipeline, workspace: Workspace) -> None:
    """Ask the blocks under `publish` whether they can work when their turn comes, hours from now."""
    for block in pipeline.publish:
        block.check_ready(workspace.output, pipeline.formats)


def check_same_version(workspace: Workspace, instead: Callable[[], str]) -> None:
    """Refuse a run of another version; reads only the keys of run.json that every version writes.

    Args:
        workspace: The run.
        instead: Says what the user can do with the running version.

    Raises:
        RunOfOtherVersion: Naming both versions.
    """
    made_by = RunIdentity.read(workspace.run).version
    if made_by != __version__:
        raise RunOfOtherVersion(str(workspace.run_dir), made_by, __version__, instead())


def check_same_pipeline(
    pipeline: ResolvedPipeline, run: RunInfo, workspace: Workspace, encoder: str, *, accept_code: bool = False
) -> RunInfo:
    """Refuse a run that was started with another pipeline, encoder or output; return what is written down of it.

    Args:
        pipeline: The pipeline.
        run: What was written down.
        workspace: Where.
        encoder: Encoder and FFmpeg version.
        accept_code: Whether the code of outside blocks may differ, which is then written down too.
    """
    frozen = load_frozen(workspace)
    differences = pipeline.spec.differences(frozen.spec) + _different_tools(frozen, run, encoder)
    if Path(run.output) != workspace.output:
        differences.append(f"output {workspace.output} was {run.output}")
    if differences == [_CODE_CHANGED] and any(":" in block.use for block in frozen.spec.blocks()):
        if accept_code:
            run = replace(run, spec_digest=frozen.digest, accepted_code=[*run.accepted_code, run.spec_digest])
            run.write(workspace.run)
            return run
        differences = [f"{_CODE_CHANGED}; {option('accept-code')} continues with it"]
    if differences:
        raise RunChanged(str(workspace.run_dir), differences, other_run(pipeline, workspace))
    return run


def other_run(pipeline: ResolvedPipeline, workspace: Workspace) -> str:
    """Return what an existing run makes of what, if it is of another kind than a pipeline, or has no source with it.

    Raises:
        RobotroveError: If its files are damaged or missing.
    """
    old, new = load_frozen(workspace).spec, pipeline.spec
    planned = [dataset.path for dataset in RunInfo.read(workspace.run).inputs] + list(filter(is_on_hub, old.datasets))
    if old.source is not None:
        planned = list(dict.fromkeys(row.path for row in Manifest.read(workspace.manifest).rows))
    if _kind(old) == _kind(new):
        given = {folder if is_on_hub(folder) else str(local_folder(folder)) for folder in new.datasets}
        with suppress(UsageError):  # nothing found
            given |= {str(file.path) for file in pipeline.reader.find()} if new.source is not None else set()
        made = RunIdentity.read(workspace.run).output
        local = [os.path.relpath(path, made) for path in planned if not is_on_hub(path)]
        moved = [os.path.normpath(workspace.output / path) for path in local]  # with the output, in one folder
        if not given.isdisjoint([*planned, *moved]) or (old.source is not None and _files(old) == _files(new)):
            return ""
    shown = ", ".join(planned[:_SHOWN]) + (", …" if len(planned) > _SHOWN else "")
    return f"{_kind(old)} of {shown}"


def _kind(spec: PipelineSpec) -> str:
    block = spec.source or spec.dataset[0]
    return "edit" if block.arguments.get("edit") else block.use


def _files(spec: PipelineSpec) -> Any:
    """Return the recordings as the pipeline file has them; the folder of all may have moved."""
    source = spec.content().get("source")
    return source.get("files") if isinstance(source, dict) else None


def check_same_environment(workspace: Workspace) -> None:
    """Refuse to run ranks where they would be made with other code or another encoder than the run was created with.

    Raises:
        RobotroveError: Naming this machine and what differs.
    """
    made_by = RunIdentity.read(workspace.run).version
    if made_by != __version__:
        differences = [f"robotrove {__version__} was {made_by}"]
    else:
        pipeline = load_frozen(workspace)
        differences = _different_tools(pipeline, RunInfo.read(workspace.run), encoder_version(pipeline.video))
    if differences:
        raise RobotroveError(
            f"{sys.executable} on {socket.gethostname()}",
            "differs from where the run was created: " + "; ".join(differences),
            "the same versions everywhere, so that all episodes are encoded alike",
            "install them there or exclude that machine, then resume the run",
        )


def _different_tools(pipeline: ResolvedPipeline, run: RunInfo, encoder: str) -> list[str]:
    differences = []
    if run.encoder != encoder:
        differences.append(f"encoder {encoder} was {run.encoder}")
    if not differences and run.spec_digest != pipeline.digest:
        differences.append(_CODE_CHANGED)
    return differences


def check_same_sources(reader: Reader, workspace: Workspace, *, is_finished: bool) -> None:
    """Refuse a run if its sources changed since it was planned; a finished one no longer needs them."""
    rows = Manifest.read(workspace.manifest).rows
    planned = {row.path: row for row in rows}
    sources = {path: reader.file_of(row) for path, row in planned.items()}
    for row in {row.files: row for row in rows}.values():
        sources |= {str(file.path): file for file in reader.other_files_of(row) if str(file.path) not in planned}
    if is_finished and not all(map(os.path.exists, sources)):
        return
    differences = []
    for path, file in sources.items():
        try:
            if file.is_changed():
                differences.append(f"source {path} was changed")
        except OSError:
            if path not in planned or planned[path].reason != "missing_file":
                differences.append(f"source {path} is missing")
    if not differences:
        found = {str(file.path) for file in reader.find()}
        differences += [f"source {path} is new" for path in sorted(found - planned.keys())]
    if differences:
        raise RunChanged(str(workspace.run_dir), differences[:20])
