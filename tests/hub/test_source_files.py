"""Runs and commands that take recordings and datasets from the Hub."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from robotrove.tests.support.command import run_robotrove
from robotrove.tests.support.hub.pushing import push
from robotrove.tests.support.hub.server import TOKEN, HubServer
from robotrove.tests.support.pipelines.runs import assert_same_dataset, run_cli, sample, write_pipeline

RECORDINGS = "lab/recordings"


def test_recordings_of_the_hub_make_the_same_dataset(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    files = [sample(folder, f"{seed}.hdf5", 2, 6, seed=seed) for seed in range(3)]
    shutil.rmtree(folder / "made")
    push(folder, RECORDINGS)
    local = run_cli(write_pipeline(tmp_path / "local", files), tmp_path / "local/out")
    assert local.returncode == 0, local.stderr
    # Room for one file: what planning read is fetched again by the ranks.
    size = max(file.stat().st_size for file in files)
    monkeypatch.setenv("ROBOTROVE_CACHE_GB", str(1.5 * size / 1e9))
    pipeline = write_pipeline(tmp_path / "hub", [f"hf://datasets/{RECORDINGS}/*.hdf5"])
    hub.fail("GET .*/resolve/", kind="cut the answer", skip=1)
    done = run_cli(pipeline, tmp_path / "hub/out", "--workers", "1")
    assert done.returncode == 0, done.stderr
    kept = [path for path in (tmp_path / "cache").rglob("*.hdf5") if path.is_file()]
    assert len(kept) == 1
    compared = run_robotrove("verify", tmp_path / "hub/out", "--source", tmp_path / "hub/out.run")
    assert "6 episodes and" in compared.stdout
    assert compared.returncode == 0, compared.stdout
    for name in ("data", "videos"):
        assert_same_dataset(tmp_path / "hub/out" / name, tmp_path / "local/out" / name)
    assert "already finished" in run_cli(pipeline, tmp_path / "hub/out").stdout
    left = [*(tmp_path / "hub").rglob("*"), *(tmp_path / "cache").rglob("*")]
    assert [path for path in left if path.is_file() and TOKEN.encode() in path.read_bytes()] == []


def test_datasets_of_the_hub(hub: HubServer, tmp_path: Path) -> None:
    pipeline = write_pipeline(tmp_path, [sample(tmp_path, "a.hdf5", 2, 6)])
    assert run_cli(pipeline, tmp_path / "cubes").returncode == 0
    pushed = run_robotrove("push", tmp_path / "cubes", "lab/cubes")
    assert pushed.returncode == 0, pushed.stderr
    name = "hf://datasets/lab/cubes@v3.0"
    for way, more in (("aggregate", ()), ("convert", ("--to", "v2.1")), ("edit", ("--drop", "0", "--task", "pick"))):
        for dataset, out in ((tmp_path / "cubes", f"{way}-local"), (name, f"{way}-hub")):
            done = run_robotrove(way, dataset, *more, "-o", tmp_path / out)
            assert done.returncode == 0, done.stderr
        for folder in ("data", "videos"):
            assert_same_dataset(tmp_path / f"{way}-hub" / folder, tmp_path / f"{way}-local" / folder)
        again = run_robotrove(way, name, *more, "-o", tmp_path / f"{way}-hub", "--force")
        assert "already finished" in again.stdout, again.stderr
    # Whatever commit it was, the same name is the same source.
    differs = run_robotrove("edit", name, "--drop", "1", "-o", tmp_path / "edit-hub")
    assert (differs.returncode, "or --fresh to move this one aside" in differs.stderr) == (2, True), differs.stderr
    another = run_robotrove("aggregate", name, "-o", tmp_path / "edit-hub")
    assert (another.returncode, "--fresh" in another.stderr) == (2, False), another.stderr
    checked = run_robotrove("stats", name, "--check")
    assert (checked.returncode, "no differences" in checked.stdout) == (0, True), checked.stderr
    changed = run_robotrove("stats", name)
    assert (changed.returncode, "cannot be changed in place" in changed.stderr) == (2, True)


def test_what_is_not_on_the_hub(hub: HubServer, tmp_path: Path) -> None:
    hub.repository(RECORDINGS).create(private=True, owner="lab")
    none = run_cli(write_pipeline(tmp_path, [f"hf://datasets/{RECORDINGS}/*.hdf5"]), tmp_path / "out")
    assert none.returncode == 2
    assert "matches no file" in none.stderr
    gone = run_robotrove("aggregate", "hf://datasets/lab/none", "-o", tmp_path / "out")
    assert gone.returncode == 2
    assert "not found, or your token may not read it" in gone.stderr
