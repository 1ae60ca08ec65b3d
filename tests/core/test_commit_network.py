"""Commits on a file system whose clients believe what they saw before, as those of NFS do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from robotrove.core import lease as lease_module
from robotrove.core.commit import attempt_name, exists_now, look_again_below, rename_new
from robotrove.core.errors import RobotroveError, RunLocked, undamaged
from robotrove.core.lease import lease
from robotrove.core.workspace import Workspace
from robotrove.executors.stage import Stage
from robotrove.manifests.shard import Shard, ShardDamaged
from robotrove.manifests.shard_progress import ShardProgress

NFSISH = Path(__file__).parents[1] / "support" / "nfsish.py"
CACHED_S = "600"


@pytest.fixture
def views(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Two clients' views of one folder; what each believes, it believes for longer than a test takes."""
    if os.geteuid() or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("needs root and /dev/fuse, to mount a folder as an NFS client sees it")
    backing, mounts = tmp_path / "server", (tmp_path / "a", tmp_path / "b")
    backing.mkdir()
    processes = []
    for mount in mounts:
        mount.mkdir()
        command = [sys.executable, str(NFSISH), str(backing), str(mount), CACHED_S, CACHED_S]
        processes.append(subprocess.Popen(command))
    try:
        deadline = time.monotonic() + 20
        while not all(map(os.path.ismount, mounts)):
            assert time.monotonic() < deadline, "the views are not mounted"
            time.sleep(0.05)
        yield mounts
    finally:
        for mount, process in zip(mounts, processes, strict=True):
            subprocess.run(["umount", "--lazy", str(mount)], check=False)
            process.wait(20)


def test_a_name_that_was_missing_is_asked_for_again(views: tuple[Path, Path]) -> None:
    here, there = views
    assert not (here / "shards" / "00000").exists()
    (there / "shards" / "00000").mkdir(parents=True)
    assert not (here / "shards" / "00000").exists()  # what this client believes
    assert exists_now(here / "shards" / "00000")
    assert not exists_now(here / "shards" / "00001")
    assert os.listdir(there / "shards") == ["00000"], "a probe stayed"


def test_folders_are_listed_again(views: tuple[Path, Path]) -> None:
    here, there = views
    (there / "data" / "chunk-000").mkdir(parents=True)
    assert list(here.rglob("*.parquet")) == []
    (there / "data" / "chunk-000" / "file-000.parquet").touch()
    (there / "data" / "chunk-001").mkdir()
    (there / "data" / "chunk-001" / "file-000.parquet").touch()
    assert list(here.rglob("*.parquet")) == []
    look_again_below(here)
    look_again_below(here)  # folders that the first one found
    found = sorted(path.relative_to(here).as_posix() for path in here.rglob("*.parquet"))
    assert found == ["data/chunk-000/file-000.parquet", "data/chunk-001/file-000.parquet"]


def test_a_rename_whose_answer_was_lost_is_ours(tmp_path: Path) -> None:
    attempt, target = tmp_path / attempt_name("run.lock"), tmp_path / "run.lock"
    attempt.write_text("ours")
    os.link(attempt, target)  # the server's part of it
    assert rename_new(attempt, target)
    assert [path.name for path in tmp_path.iterdir()] == ["run.lock"]
    attempt.write_text("later")
    assert not rename_new(attempt, target)
    assert (attempt.read_text(), target.read_text()) == ("later", "ours")


def test_marks_of_other_machines(views: tuple[Path, Path]) -> None:
    here, there = views
    stage = Stage("convert", 3, here / "logs" / "convert", list, (), "", here)
    (there / "logs" / "convert" / "completions").mkdir(parents=True)
    assert stage.missing() == [0, 1, 2]
    for rank in (0, 2):
        (there / "logs" / "convert" / "completions" / f"0000{rank}").touch()
    assert stage.missing() == [0, 1, 2]
    assert stage.missing(fresh=True) == [1]


def test_a_shard_of_another_machine_is_neither_missing_nor_damaged(views: tuple[Path, Path]) -> None:
    here, there = views
    progress = ShardProgress(Workspace(here, here / "out"), 0)
    assert not progress.committed
    shard = Shard(0, [], [], {}, {})
    (there / "shards" / "00000").mkdir(parents=True)
    with pytest.raises(ShardDamaged, match=r"shard\.json is missing"):
        Shard.read(here / "shards" / "00000")
    shard.write(there / "shards" / "00000")
    assert not (here / "shards" / "00000" / "shard.json").exists()
    assert Shard.read(here / "shards" / "00000") == shard
    assert progress.committed


def test_a_file_of_the_run_that_is_not_there_yet(views: tuple[Path, Path]) -> None:
    here, there = views
    with pytest.raises(RobotroveError, match="is not visible on"):
        with undamaged(here / "report.json"):
            (here / "report.json").read_text()
    (there / "report.json").write_text("{}")
    with undamaged(here / "report.json"):
        assert json.loads((here / "report.json").read_text()) == {}


class TestLease:
    """Two machines with one run directory."""

    def test_a_lock_that_this_machine_believes_to_be_missing(self, views: tuple[Path, Path]) -> None:
        here, there = views
        (there / "run").mkdir()
        assert not (here / "run" / "run.lock").exists()
        (there / "run" / "run.lock").write_text(json.dumps({"host": "node17", "pid": 7, "started": "1"}))
        with pytest.raises(RunLocked), lease(here / "run" / "run.lock"):
            pass
        assert json.loads((there / "run" / "run.lock").read_text())["host"] == "node17"

    def test_heartbeats_are_read_from_the_server(self, views: tuple[Path, Path]) -> None:
        here, there = views
        lock, now = Path("run.lock"), time.time()
        (there / lock).write_text(json.dumps({"host": "node17", "pid": 7, "started": "1"}))
        os.utime(there / lock, (now - 1000, now - 1000))
        assert not lease_module.is_held(here / lock)
        os.utime(there / lock, (now, now))
        assert now - (here / lock).stat().st_mtime > 900  # what this client believes
        assert lease_module.is_held(here / lock)


def test_containers_with_one_host_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process has pid 1 in a namespace of its own: they are judged by the heartbeat."""
    if os.geteuid() or sys.platform != "linux":
        pytest.skip("needs root on Linux, for a PID namespace")
    lock = tmp_path / "run" / "run.lock"
    code = "import sys, time; from pathlib import Path; from robotrove.core.lease import lease\n"
    code += f"with lease(Path({str(lock)!r})): print(1, flush=True); time.sleep(60)"
    contained = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c", code]
    holder = subprocess.Popen(contained, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    assert json.loads(lock.read_text())["pid"] == 1
    second = subprocess.run(contained, capture_output=True, text=True, timeout=60)
    assert "RunLocked" in second.stderr
    with pytest.raises(RunLocked), lease(lock):
        pass
    holder.kill()
    holder.communicate()
    with pytest.raises(RunLocked), lease(lock):  # its last heartbeat is fresh, and nobody here can see its processes
        pass
    os.utime(lock, (time.time() - 91, time.time() - 91))
    with lease(lock):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
