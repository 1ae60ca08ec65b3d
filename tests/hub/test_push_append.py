"""Recordings join a dataset on the Hub: what it has is not sent again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from robotrove.tests.support.command import run_robotrove
from robotrove.tests.support.hub.pushing import NAME, expected, shown
from robotrove.tests.support.hub.server import TOKEN, HubServer
from robotrove.tests.support.pipelines.runs import run_cli, sample, write_pipeline


@pytest.mark.parametrize("version", ["v3.0", "v2.1"])
def test_a_dataset_of_the_hub_grows(hub: HubServer, tmp_path: Path, version: str) -> None:
    old = sample(tmp_path, "a.hdf5", 3, 8)
    more = {"formats": [version], "publish": [{"hub_publisher": {"repo_id": NAME}}]}
    first = run_cli(write_pipeline(tmp_path / "first", [old], **more), tmp_path / "first/out", "--workers", "1")
    assert first.returncode == 0, first.stderr
    before = shown(hub)
    assert (first_commit := hub.repository(NAME).resolve(version)) == hub.repository(NAME).resolve("main")
    sent_before = dict(hub.transfers.sent)
    new = sample(tmp_path, "b.hdf5", 2, 8, seed=5)
    pipeline = write_pipeline(tmp_path / "then", [old, new], append_to=f"hf://datasets/{NAME}", **more)
    out = tmp_path / "then/out"
    hub.fail("POST .*/commit/main", status=403, message="maintenance", times=1)
    stopped = run_cli(pipeline, out, "--workers", "1")
    assert (stopped.returncode, "maintenance" in stopped.stderr) == (1, True), stopped.stderr
    done = run_cli(pipeline, out, "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "listed 5 = kept 2 + rejected 3" in done.stdout
    after = shown(hub)
    assert after == expected(out, after["README.md"].decode())
    assert hub.repository(NAME).resolve(version) == hub.repository(NAME).resolve("main") != first_commit
    assert "5 episodes, 40 frames" in after["README.md"].decode()
    # Files of rows and frames are as they were; of all that there is, only what is new or other was sent, and once.
    old_files = {path: content for path, content in before.items() if path.startswith(("data/", "videos/"))}
    assert old_files
    assert old_files.items() < after.items()
    changed = {path: content for path, content in after.items() if before.get(path) != content}
    large = [content for path, content in changed.items() if path.endswith((".mp4", ".parquet"))]
    sent = {digest: count for digest, count in hub.transfers.sent.items() if digest not in sent_before}
    assert sent == {hashlib.sha256(content).hexdigest(): 1 for content in large}
    assert {digest: hub.transfers.sent[digest] for digest in sent_before} == sent_before
    checked = run_robotrove("verify", out, "--source", tmp_path / "then/out.run", "--deep")
    assert checked.returncode == 0, checked.stdout
    assert "already finished" in run_cli(pipeline, out).stdout
    # What the Hub shows by now has all of them.
    nothing = run_cli(pipeline, tmp_path / "then/again")
    assert (nothing.returncode, nothing.stdout.splitlines()[0]) == (
        0, f"no new episodes for {_cached(tmp_path, hub)}, nothing written",
    )  # fmt: skip
    assert not list((tmp_path / "then").glob("again*"))
    left = [*tmp_path.glob("then/**/*"), *tmp_path.glob("cache/**/*")]
    assert [path for path in left if path.is_file() and TOKEN.encode() in path.read_bytes()] == []


def _cached(folder: Path, hub: HubServer) -> Path:
    return folder / "cache/hub" / NAME / hub.repository(NAME).resolve("main")


def test_a_dataset_that_others_changed_meanwhile_is_refused(hub: HubServer, tmp_path: Path) -> None:
    """Until the output has its name: it would not have what is on the Hub by now."""
    old = sample(tmp_path, "a.hdf5", 2, 6)
    assert run_cli(write_pipeline(tmp_path / "first", [old]), tmp_path / "first/out", "--workers", "1").returncode == 0
    assert run_robotrove("push", tmp_path / "first/out", NAME).returncode == 0
    new = sample(tmp_path, "b.hdf5", 1, 6, seed=5)
    pipeline = write_pipeline(tmp_path / "then", [new], append_to=f"hf://datasets/{NAME}")
    out = tmp_path / "then/out"
    assert run_cli(pipeline, out, "--workers", "1").returncode == 0
    for place in (out, out.with_name("out.run") / "report.json"):  # as if the run had been killed before
        place.rename(tmp_path / f"taken-{place.name}")
    before = _cached(tmp_path, hub)
    info = tmp_path / "first/out/meta/info.json"
    info.write_text(info.read_text() + "\n")
    assert run_robotrove("push", tmp_path / "first/out", NAME, "--no-verify").returncode == 0
    refused = run_cli(pipeline, out)
    assert refused.returncode == 2
    assert f"dataset {before} is {_cached(tmp_path, hub)} now" in refused.stderr
