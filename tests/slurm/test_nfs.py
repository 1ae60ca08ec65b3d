"""A cluster with a shared file system as labs have it: each node believes for seconds what it saw of a folder.

The whole list of faults, with the caches of Linux: python -m tests.slurm.nfs_faults.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from robotrove.tests.slurm.nfs_faults import UNDISTURBED, NfsCluster, missing, nfs_cluster, tried

CACHES = (2.0, 12.0)


@pytest.fixture(scope="module")
def nfs() -> Iterator[NfsCluster]:
    if why := missing():
        pytest.skip(why)
    with nfs_cluster(CACHES) as cluster:
        yield cluster


@pytest.mark.parametrize("fault", [UNDISTURBED, "worker killed", "requeue", "stopped worker taken over"])
def test_on_nfs(nfs: NfsCluster, fault: str) -> None:
    outcome = tried(nfs, fault)
    assert outcome.is_right, "\n".join([str(outcome), *outcome.said])
