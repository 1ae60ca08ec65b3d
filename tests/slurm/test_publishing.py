"""A run on the cluster publishes what it made, and what it appended; the token stays where it is."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from robotrove.tests.slurm.jobs import EXECUTOR, ON_CLUSTER, slurm, submission
from robotrove.tests.support.hub.pushing import NAME, expected, shown
from robotrove.tests.support.hub.server import TOKEN, HubServer, running
from robotrove.tests.support.pipelines.runs import run_cli, sample, write_pipeline

EPISODES, FRAMES = 6, 100  # a shard closes at 300 frames


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub that jobs reach, and the login of whoever submits them, as `hf auth login` leaves it."""
    with running(tmp_path / "hub") as server:
        (tmp_path / "home").mkdir()
        (tmp_path / "home/token").write_text(TOKEN)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server


def on_cluster(pipeline: Path, output: Path, *more: str) -> subprocess.CompletedProcess[str]:
    done = run_cli(pipeline, output, *ON_CLUSTER, "--wait", *more)
    assert done.returncode == 0, done.stderr
    return done


def test_a_run_publishes_what_it_made_and_appended(hub: HubServer, cluster: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    files = [sample(tmp_path, f"{seed}.hdf5", EPISODES, FRAMES, seed=seed) for seed in (1, 2)]
    out = tmp_path / "work/out"
    publish = [{"hub_publisher": {"repo_id": NAME}}]
    first = write_pipeline(tmp_path / "work/first", files[:1], executor=EXECUTOR, publish=publish)
    texts = [on_cluster(first, out)]
    jobs = submission(out)
    # Sent by jobs, not by the command.
    ranks = list(jobs.jobs_of("3-hub_publisher.process"))
    assert ranks
    assert "COMPLETED" in slurm("sacct", "-nPX", "-o", "State", "-j", ranks[0][0])
    before = shown(hub)
    assert before == expected(out, before["README.md"].decode())
    sent = dict(hub.transfers.sent)

    both = write_pipeline(tmp_path / "work/both", files, executor=EXECUTOR, publish=publish)
    texts.append(on_cluster(both, out, f"append_to={out}"))
    assert f"{EPISODES} episodes of {out}, and {EPISODES} appended" in texts[-1].stdout
    after = shown(hub)
    assert after == expected(out, after["README.md"].decode())
    old = {path: content for path, content in before.items() if path.startswith(("data/", "videos/"))}
    assert old.items() < after.items()
    assert {digest: hub.transfers.sent[digest] for digest in sent} == sent
    texts.append(on_cluster(both, out, f"append_to={out}"))
    assert "no new episodes" in texts[-1].stdout

    assert TOKEN in hub.seen_tokens
    left = [path for place in (tmp_path / "work", cluster) for path in place.rglob("*") if path.is_file()]
    assert {".pkl", ".sh", ".json", ".yaml", ".parquet"} <= {path.suffix for path in left}
    assert [path for path in left if TOKEN.encode() in path.read_bytes()] == []
    assert [text for text in texts if TOKEN in text.stdout + text.stderr] == []
    assert TOKEN not in slurm("sacct", "-P", "-o", "ALL", "-S", "now-1hours")
