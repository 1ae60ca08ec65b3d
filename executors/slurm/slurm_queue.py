"""The door to Slurm's own commands: queued jobs, ended jobs, limits of the cluster."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import RobotroveError, option

_TIMEOUT_S = 60
NO_LIMIT = 2**31 - 1
# Reasons to wait that do not pass by themselves.
NEVER = ("PartitionTimeLimit", "PartitionNodeLimit", "PartitionConfig", "BadConstraints")
_HELD = ("JobHeldUser", "JobHeldAdmin", "launch failed requeued held")
_AFTER_OTHERS = ("Dependency", "DependencyNeverSatisfied")
_HOLDING = ("REQUEUE_HOLD", "SPECIAL_EXIT")
REST = -1


@dataclass(frozen=True, slots=True)
class Job:
    """One job, or one task of an array.

    Attributes:
        job_id: Number that sbatch printed.
        task: Index in the array; 0 for a job that is none.
        state: As Slurm says it: PENDING, RUNNING, COMPLETING, ….
        reason: Why it waits.
        node: Where it runs.
    """

    job_id: str
    task: int
    state: str
    reason: str = ""
    node: str = ""

    @property
    def is_running(self) -> bool:
        """True if it has a node; a job that ends may still be writing."""
        return self.state not in ("PENDING", "REQUEUED", *_HOLDING)

    @property
    def is_held(self) -> bool:
        """True if it waits until a person releases it."""
        return self.state in _HOLDING or self.reason in _HELD


def held(jobs: Collection[Job]) -> list[Job]:
    """Return the held jobs if all others wait for them; else none: there is progress without them."""
    found = [job for job in jobs if job.is_held]
    others = [job for job in jobs if not job.is_held]
    return [] if any(job.is_running or job.reason not in _AFTER_OTHERS for job in others) else found


def is_here() -> bool:
    """True if this machine can ask a cluster."""
    return shutil.which("squeue") is not None


def live_jobs(name: str) -> list[Job]:
    """Return every job of this name that is not over, whoever's it is.

    Raises:
        RobotroveError: If the cluster does not answer.
    """
    text = _ask("squeue", "--all", "--noheader", "--array", "--name", name, "--format", "%F|%K|%T|%r|%N")
    jobs = []
    for line in text.splitlines():
        job_id, task, state, reason, node = line.split("|")
        jobs.append(Job(job_id, int(task) if task.isdigit() else 0, state, reason, node))
    return jobs


def ended_states(job_ids: list[str]) -> dict[tuple[str, int], str]:
    """Return (job, task) to how it ended as the accounting says; empty where there is none.

    (job, REST) are all tasks that have no line of their own, as where an array was cancelled before it began.
    """
    command = ["sacct", "--noheader", "--parsable2", "--allocations", "--format", "JobID,State", "--jobs"]
    try:
        text = _ask(*command, ",".join(job_ids))
    except RobotroveError:
        return {}
    found = {}
    for line in text.splitlines():
        job, _, state = line.partition("|")
        job_id, _, task = job.partition("_")
        found[job_id, int(task) if task.isdigit() else REST] = state  # "12_3", or "12" and "12_[3-9%2]"
    return found


def cancel(name: str, folder: Path) -> list[str]:
    """Cancel the jobs of this name with a script in a folder; returns their numbers.

    The name alone may be that of any other run: it is read from a file.
    """
    lines = _ask("squeue", "--all", "--noheader", "--name", name, "--format", "%F|%o").splitlines()
    own = {job for job, _, script in (line.partition("|") for line in lines) if _is_in(script, folder)}
    if own:
        _ask("scancel", *own)
    return sorted(own, key=int)


def _is_in(script: str, folder: Path) -> bool:
    try:
        return Path(script).parent.samefile(folder)
    except OSError:
        return False


def max_array_size() -> int:
    """Return how many jobs one array may have: indices go up to MaxArraySize - 1."""
    return max(1, int(_configured("MaxArraySize") or 1001))  # Slurm's default


def cluster_name() -> str:
    """Return the name of the cluster that answers here; several may see the same files."""
    return _configured("ClusterName")


def _configured(key: str) -> str:
    found = re.search(rf"^{key}\s*=\s*(\S+)", _ask("scontrol", "show", "config"), re.MULTILINE)
    return found[1] if found else ""


def submittable(account: str | None, qos: str | None) -> int | None:
    """Return how many jobs this user may submit on top of those that are queued; None if nothing says it.

    Args:
        account: Account of the jobs; that of sbatch by default.
        qos: Quality of service; likewise.
    """
    account, qos = account or os.environ.get("SBATCH_ACCOUNT"), qos or os.environ.get("SBATCH_QOS")
    limits: list[tuple[str, str, str]] = []  # each with the option of squeue for the jobs that count
    try:
        user = _ask("id", "-un").strip()
        account = account or _ask("sacctmgr", "-nP", "show", "user", user, "format=DefaultAccount").strip()
        fields = "Account,MaxSubmitJobs,GrpSubmitJobs,DefaultQOS,QOS"
        own = (f"user={user}", f"account={account}", f"cluster={cluster_name()}")
        for line in _ask("sacctmgr", "-nP", "show", "assoc", *own, f"format={fields}").splitlines():
            name, most, group, default, allowed = line.split("|")
            if name != account:
                continue
            limits += [(most, "--account", account), (group, "--account", account)]
            qos = qos or default or allowed  # of several, Slurm chooses by rules of its own: then it may refuse
        fields = "Name,MaxSubmitJobsPU,MaxSubmitJobsPA"
        for line in _ask("sacctmgr", "-nP", "show", "qos", f"format={fields}").splitlines():
            name, per_user, per_account = line.split("|")
            limits += [(per_user, "--qos", name), (per_account, "--qos", name)] if name == qos else []
        rest = [int(limit) - _queued(user, *option) for limit, *option in limits if limit.isdigit()]
    except RobotroveError:  # a cluster without accounting has no such limits
        return None
    return min(rest, default=None)


def _queued(user: str, option: str, value: str) -> int:
    command = ["squeue", "--all", "--noheader", "--array", "--format", "%i", "--user", user]
    return len(_ask(*command, option, value).splitlines())


# What this module's callers decide, and what would send jobs elsewhere or keep their environment from them.
_DECIDED = frozenset(
    {"JOB_NAME", "ARRAY_INX", "SIGNAL", "REQUEUE", "NO_REQUEUE", "OPEN_MODE", "OUTPUT", "ERROR", "DEPENDENCY", "WAIT"}
    | {"TIMELIMIT", "MEM_PER_NODE", "MEM_PER_CPU", "MEM_PER_GPU", "EXPORT", "CLUSTERS"}
)


@contextmanager
def submitting(options: Iterable[str]) -> Iterator[None]:
    """Hide variables that would win over what is submitted: sbatch puts its own before the script.

    Those of a job that this process is part of are inherited otherwise, and srun takes options from them. SLURM_CONF
    is how the cluster is found; other SBATCH_… are the user's own, such as an account.

    Args:
        options: Options of sbatch that are given besides those that always are.
    """
    decided = {f"SBATCH_{name}" for name in _DECIDED | {name.upper() for name in options}}
    given = {name for name in os.environ if name.startswith(("SLURM_", "SRUN_"))} - {"SLURM_CONF"}
    hidden = {name: os.environ.pop(name) for name in given | (decided & os.environ.keys())}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _unfiltered() -> dict[str, str]:
    """Return the environment without what would make these commands leave jobs out."""
    filters = ("SQUEUE_", "SACCT_", "SCANCEL_", "SLURM_CLUSTERS")
    return {name: value for name, value in os.environ.items() if not name.startswith(filters)}


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, env=_unfiltered())
    except FileNotFoundError as exc:
        raise RobotroveError(
            command[0],
            "is missing on this machine",
            "a machine of a Slurm cluster",
            f"{option('executor', 'local')}, or the same command on the cluster's login node",
        ) from exc
    except subprocess.TimeoutExpired as exc:
        raise RobotroveError(command[0], f"does not answer within {_TIMEOUT_S} s", todo="rerun the command") from exc
    if done.returncode:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise RobotroveError(" ".join(command[:2]), said, "an answer of the cluster", "rerun the command later")
    return done.stdout
