"""Nodes that go away, or are wanted by somebody else: the run goes on by itself."""

from __future__ import annotations

from robotrove.tests.slurm.disturbed import Run, middle_of
from robotrove.tests.slurm.jobs import live, slurm, wait_for


def _ranks_by_node(run: Run) -> dict[str, set[int]]:
    """Return which ranks are at work where; each job has one."""
    found: dict[str, set[int]] = {}
    for job in live(run.output):
        if job.node:
            found.setdefault(job.node, set()).add(job.task)
    return found


def test_a_node_is_set_down_and_comes_back(run: Run) -> None:
    run.hold(0, 1, 2, 3)
    command = run.start()
    old = {rank: run.worker_of(rank) for rank in range(4)}
    lost = _ranks_by_node(run)["n1"]
    assert len(lost) == 2
    for rank in lost:
        run.gates.close(middle_of(rank), old[rank].pid)  # it lives on for seconds, beside its successor maybe
    slurm("scontrol", "update", "nodename=n1", "state=down", "reason=test")
    wait_for(lambda: not _ranks_by_node(run).get("n1"), "the jobs to be queued again")
    slurm("scontrol", "update", "nodename=n1", "state=resume")
    for rank in lost:
        run.worker_of(rank, but=old[rank].pid)
    run.let_go(0, 1, 2, 3)
    run.goes_on_by_itself(command)


def test_preempted_by_an_urgent_job(run: Run) -> None:
    run.hold(0, 1, 2, 3)
    command = run.start()
    old = {rank: run.worker_of(rank) for rank in range(4)}
    lost = _ranks_by_node(run)["n2"]
    assert len(lost) == 2
    slurm("sbatch", "--partition=urgent", "--nodelist=n2", "--exclusive", "--output=/dev/null", "--wrap=true")
    for rank in lost:
        run.worker_of(rank, but=old[rank].pid)
        assert not old[rank].is_running()
    assert all(old[rank].is_running() for rank in set(old) - lost)
    run.let_go(0, 1, 2, 3)
    run.goes_on_by_itself(command)
