"""slurm: job arrays on a cluster, stage after stage; the command that submits them may exit."""

from __future__ import annotations

import io
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import submitit
from pydantic import Field

from ...core.commit import NFS_GRACE_S
from ...core.errors import RankFailed, RobotroveError, UsageError, option
from ...core.workspace import Workspace
from ...manifests.run_info import Started
from ..stage import Stage
from . import slurm_queue
from .job_states import JobStates
from .rank_job import RankJob
from .submission import Batch, Detached, Submission, batches, job_name

_MAX_REQUEUES = 10_000  # RankJob decides when it leads nowhere

Minutes = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=1)]
Memory = Annotated[str, Field(pattern=r"^\d+(KB?|MB?|GB?|TB?)$")]

# Options of sbatch that submitit or this module gives, or that have a name of their own here.
_OURS = frozenset(
    {"job_name", "array", "dependency", "output", "error", "open_mode", "signal", "requeue", "no_requeue"}
    | {"partition", "account", "qos", "constraint", "time", "mem", "cpus_per_task"}
    | {"nodes", "ntasks", "ntasks_per_node", "ntasks_per_core", "ntasks_per_socket", "ntasks_per_gpu"}
    | {"clusters", "wait", "parsable", "test_only", "export"}
)

_POLL_S = 1.0
_QUEUE_EVERY_S = 5.0


class SlurmExecutor(Detached):
    """Runs ranks as jobs of a Slurm cluster.

    Every job runs a few ranks in the run directory. All nodes must see it under the same path.

    Args:
        workers: Jobs of an array that run at a time; as many as the cluster allows by default.
        cluster: "slurm", or how submitit runs the same jobs without a cluster: as processes ("local"), or in
            sequence ("debug").
        partition: Partition of the jobs.
        account: Account of the jobs.
        qos: Quality of service.
        constraint: Required features of nodes.
        time: Time limit of a job in minutes; at the limit it is requeued and resumes.
        mem: Memory of a job, such as 8GB.
        cpus: CPUs of a job.
        ranks_per_job: Ranks of a job, in sequence; raised where the cluster's limits require it.
        signal_before: Seconds before the time limit at which a job begins to end.
        python: Interpreter on the nodes; that of the submitting command by default.
        setup: Shell lines before a job starts, such as `module load ffmpeg`.
        sbatch: Further options of sbatch by name, such as `{exclude: node7, exclusive: true}`.
    """

    def __init__(
        self,
        *,
        workers: Count | None = None,
        cluster: Literal["slurm", "local", "debug"] = "slurm",
        partition: str | None = None,
        account: str | None = None,
        qos: str | None = None,
        constraint: str | None = None,
        time: Minutes = 240,
        mem: Memory = "4GB",
        cpus: Count = 2,
        ranks_per_job: Count = 1,
        signal_before: Count = 90,
        python: str | None = None,
        setup: list[str] | None = None,
        sbatch: dict[str, str | int | bool] | None = None,
    ) -> None:
        self.workers = workers
        self.cluster = cluster
        self.partition = partition
        self.account = account
        self.qos = qos
        self.constraint = constraint
        self.time = time
        self.mem = mem
        self.cpus = cpus
        self.ranks_per_job = ranks_per_job
        self.signal_before = signal_before
        self.python = python
        self.setup = setup
        self.sbatch = sbatch
        if clash := sorted({name.replace("-", "_") for name in sbatch or {}} & _OURS):
            raise UsageError(
                "sbatch", f"{', '.join(clash)} cannot be given", "options that robotrove does not set itself"
            )

    @property
    def is_detached(self) -> bool:
        """True on a cluster; elsewhere submitit's processes want somebody who waits for them."""
        return self.cluster == "slurm"

    @property
    def _chosen(self) -> list[str]:
        """Options that have a value here, so that the user's environment has no say in them."""
        return [name for name in ("partition", "account", "qos", "constraint") if getattr(self, name) is not None]

    @property
    def _python(self) -> str:
        """Interpreter of jobs; files in the folder that submits must not stand for modules there."""
        return self.python or f"{shlex.quote(sys.executable)} -P"

    def launch(self, stage: Stage, on_poll: Callable[[], None]) -> None:
        """Run one stage; see the base class."""
        self.run([stage], on_poll)

    def run(self, stages: Iterable[Stage], on_poll: Callable[[], None]) -> None:
        """Submit all stages and wait for their end; see the base class."""
        stages = list(stages)
        self.submit(stages)
        if self.is_detached:
            wait(stages, _jobs_of(stages), on_poll)
        else:
            check_complete(stages, _jobs_of(stages))

    def submit(self, stages: Sequence[Stage]) -> Submission:
        """Submit all stages and return; see the base class."""
        jobs = _jobs_of(stages)
        if "%" in str(jobs) or "\\" in str(jobs):
            found = "has a % or a backslash in its path, and Slurm replaces them"
            raise UsageError(str(jobs.parent), found, "a path without them", option("run-dir", "DIR"))
        jobs.mkdir(parents=True, exist_ok=True)
        started = Started.now()
        where = slurm_queue.cluster_name() if self.is_detached else ""
        submission = Submission(job_name(jobs), self.cluster, started.user, started.host, where=where)
        submission.write(jobs)  # from here on the jobs are found by their name, whatever happens
        try:
            for batch in self._batches(stages):
                job_id = self._submit(batch, stages, jobs, submission)
                submission.batches.append((job_id, batch))
                submission.write(jobs)
        except BaseException:
            if self.is_detached:
                with suppress(RobotroveError):  # the cause is what is to be told; jobs are found by their name later
                    slurm_queue.cancel(submission.name, jobs)
            raise
        return submission

    def _batches(self, stages: Sequence[Stage]) -> list[Batch]:
        if not self.is_detached:
            size = 1 if self.cluster == "debug" else self.workers or 2
            return batches(stages, ranks_per_job=self.ranks_per_job, max_array=size, max_jobs=None)
        return batches(
            stages,
            ranks_per_job=self.ranks_per_job,
            max_array=slurm_queue.max_array_size(),
            max_jobs=slurm_queue.submittable(self.account, self.qos),
        )

    def _submit(self, batch: Batch, stages: Sequence[Stage], jobs: Path, submission: Submission) -> str:
        """Submit one batch and return its job's number."""
        first = stages[0]
        tasks = [
            RankJob(
                orders,
                command=first.command,
                logs=str(first.logs.parent),
                events=str(Workspace(first.run_dir, Path()).events),
                cpus=self.cpus,
                limit_s=min(0.8 * 60 * self.time, 60 * self.time - 600),
                stop_on_failure=first.stop_on_failure,
            )
            for orders in batch.jobs
        ]
        try:
            # submitit prints what it raises, too.
            with redirect_stderr(io.StringIO()), slurm_queue.submitting(self._chosen):
                found = self._submitit(jobs, submission).submit_array(tasks)
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError, RuntimeError) as exc:
            raise RobotroveError(
                "sbatch",
                _said(exc),
                "jobs that the cluster accepts",
                "fix `executor:` in the pipeline (partition, account, qos, time, mem, sbatch), then rerun the command",
            ) from exc
        if not self.is_detached:
            try:
                for job in found:
                    job.exception()  # waits; without a scheduler nothing else keeps the order of the stages
            except BaseException:
                for job in found:
                    job.cancel(check=False)
                raise
        return str(found[0].job_id).partition("_")[0]

    def _submitit(self, jobs: Path, submission: Submission) -> Any:
        if self.cluster == "debug":
            return submitit.DebugExecutor(jobs)
        if self.cluster == "local":
            executor: Any = submitit.LocalExecutor(jobs, max_num_timeout=_MAX_REQUEUES, python=self._python)
            executor.update_parameters(
                timeout_min=self.time, signal_delay_s=self.signal_before, setup=self.setup or (), stderr_to_stdout=True
            )
            return executor
        executor = submitit.SlurmExecutor(jobs, max_num_timeout=_MAX_REQUEUES, python=self._python)
        previous = submission.job_ids[-1:]
        executor.update_parameters(
            job_name=submission.name,
            partition=self.partition,
            account=self.account,
            qos=self.qos,
            constraint=self.constraint,
            time=self.time,
            mem=self.mem,
            cpus_per_task=self.cpus,
            signal_delay_s=self.signal_before,
            setup=self.setup,
            array_parallelism=self.workers or slurm_queue.NO_LIMIT,
            dependency=f"afterany:{previous[0]}" if previous else None,
            stderr_to_stdout=True,
            # Without these srun would leave out what the script exports, and since 22.05 the CPUs.
            srun_args=["--export=ALL", f"--cpus-per-task={self.cpus}"],
            additional_parameters={
                "requeue": True,
                **{name: value for name, value in (self.sbatch or {}).items() if value is not False},
            },
        )
        return executor


def _said(exc: Exception) -> str:
    """Return what sbatch objected to, on one line."""
    lines = (line.removeprefix("sbatch: ").removeprefix("error: ") for line in str(exc).splitlines())
    return "; ".join(line.strip() for line in lines if line.strip())


def _jobs_of(stages: Sequence[Stage]) -> Path:
    return Workspace(stages[0].run_dir, Path()).jobs


def wait(stages: Sequence[Stage], jobs: Path, on_poll: Callable[[], None]) -> None:
    """Wait until every rank is complete, or no job is left that could make it so.

    Args:
        stages: What was submitted.
        jobs: The run's folder for jobs.
        on_poll: Called about once a second.

    Raises:
        RankFailed: See `check_complete`.
        RobotroveError: If nothing continues until a person releases a held job.
        UsageError: If the cluster will never start what is left.
    """
    asked, is_over, was_held = 0.0, False, False
    live: Sequence[slurm_queue.Job] = ()
    while any(stage.missing() for stage in stages) and not is_over:
        on_poll()
        time.sleep(_POLL_S)
        if time.monotonic() - asked > _QUEUE_EVERY_S:
            asked = time.monotonic()
            with suppress(RobotroveError):  # a controller that is being restarted; the jobs go on
                live = slurm_queue.live_jobs(job_name(jobs))
                is_over = not live
            _check_can_start(live)
            held = slurm_queue.held(live)
            if held and was_held:  # twice, as a job that was just submitted may be held for a moment
                job, run_dir = held[0], shlex.quote(str(jobs.parent))
                todo = f"scontrol release {job.job_id}, then robotrove status {run_dir} --watch"
                raise RobotroveError(f"job {job.job_id}", f"is held ({job.reason}), and nothing else runs", todo=todo)
            was_held = bool(held)
            for stage in stages:  # so that the next look is at what the server has
                stage.missing(fresh=True)
    check_complete(stages, jobs)


def check_complete(stages: Sequence[Stage], jobs: Path) -> None:
    """Refuse stages with ranks that are not complete; arguments as those of `wait`.

    Raises:
        RankFailed: With the ranks of the first such stage.
    """
    states = JobStates(jobs)
    until = time.monotonic() + NFS_GRACE_S
    for stage in stages:
        missing = stage.missing(fresh=True)
        while states.completed(stage, missing) and time.monotonic() < until:  # their marks are on the way
            time.sleep(_QUEUE_EVERY_S)
            missing = stage.missing(fresh=True)
        if missing:
            here = option("executor", "slurm")
            resume = f"{stage.resume} {here}" if here.startswith("--") else f"{stage.resume}, with {here}"
            raise RankFailed(stage.name, states.failures(stage, missing), str(jobs), resume)


def _check_can_start(live: Sequence[slurm_queue.Job]) -> None:
    stuck = [job for job in live if job.reason in slurm_queue.NEVER]
    if stuck and not any(job.is_running for job in live):
        raise UsageError(
            f"job {stuck[0].job_id}",
            f"cannot start: {stuck[0].reason}",
            "a time, memory and number of CPUs that the partition offers",
            "robotrove cancel RUN_DIR, fix `executor:` in the pipeline, then rerun the command",
        )
