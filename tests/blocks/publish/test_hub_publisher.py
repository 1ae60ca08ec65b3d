"""hub_publisher and `robotrove push` on datasets that robotrove made."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from robotrove.blocks.publish.hub_publisher import HubPublisher
from robotrove.blocks.source.hdf5_reader import Hdf5Reader
from robotrove.blocks.writer.shard_writer import ShardWriter
from robotrove.media.encode.settings import VideoSettings
from robotrove.pipelines.pipeline import Pipeline
from robotrove.pipelines.spec.pipeline_spec import PipelineSpec
from robotrove.pipelines.spec.resolved_pipeline import load_pipeline
from robotrove.tests.support.command import run_robotrove
from robotrove.tests.support.hub.pushing import NAME, expected, shown
from robotrove.tests.support.hub.server import TOKEN, HubServer
from robotrove.tests.support.pipelines.runs import run_cli, sample, write_pipeline


def front_matter(card: bytes) -> Any:
    return yaml.safe_load(card.decode().split("---\n")[1])


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset of each version, two episodes of one camera."""
    folder = tmp_path_factory.mktemp("made")
    pipeline = write_pipeline(folder, [sample(folder, "a.hdf5", 2, 6)], formats=["v3.0", "v2.1"])
    done = run_cli(pipeline, folder / "dataset", "--workers", "1")
    assert done.returncode == 0, done.stderr
    return folder / "dataset"


def test_push_of_both_versions(hub: HubServer, made: Path) -> None:
    done = run_robotrove("push", made / "v3.0", NAME, "--license", "cc-by-4.0", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["private"] is True
    assert (document["url"], document["tag"]) == (f"{hub.url}/datasets/{NAME}", "v3.0")
    assert document["commit"] == hub.repository(NAME).resolve("v3.0")
    on_hub = shown(hub)
    card = on_hub["README.md"]
    assert on_hub == expected(made / "v3.0", card.decode())
    assert front_matter(card) == {
        "license": "cc-by-4.0",
        "task_categories": ["robotics"],
        "tags": ["LeRobot", "robotrove"],
        "configs": [{"config_name": "default", "data_files": "data/*/*.parquet"}],
    }
    for text in ("2 episodes, 12 frames at 30", "`observation.images.front` (48×48, `h264`)", "`observation.state`",
                 "`a.hdf5`: 2 episodes", "visualize_dataset?path=lab%2Fcubes", "By robotrove "):  # fmt: skip
        assert text in card.decode()
    again = run_robotrove("push", made / "v2.1", NAME, "--branch", "v2.1")
    assert again.returncode == 0, again.stderr
    assert "(private)" in again.stdout
    assert "v2.1 is at commit " in again.stdout
    assert shown(hub, "v2.1") == expected(made / "v2.1", shown(hub, "v2.1")["README.md"].decode())
    assert shown(hub) == on_hub


def test_what_does_not_verify_is_refused(hub: HubServer, made: Path, tmp_path: Path) -> None:
    wrong = shutil.copytree(made / "v3.0", tmp_path / "wrong")
    info = json.loads((wrong / "meta/info.json").read_text())
    (wrong / "meta/info.json").write_text(json.dumps(info | {"total_frames": 13}))
    refused = run_robotrove("push", wrong, NAME)
    assert refused.returncode == 1
    assert "total_frames" in refused.stderr
    assert not hub.repository(NAME).exists
    forced = run_robotrove("push", wrong, NAME, "--no-verify", "--public")
    assert forced.returncode == 0, forced.stderr
    assert "(public)" in forced.stdout
    card = shown(hub)["README.md"].decode()
    assert "(`--no-verify`)" in card
    assert "license" not in front_matter(card.encode())


def test_a_file_of_mine_is_not_sent(hub: HubServer, made: Path, tmp_path: Path) -> None:
    """Such a link could come with a downloaded dataset."""
    root = shutil.copytree(made / "v3.0", tmp_path / "cubes")
    (tmp_path / "id_rsa").write_text("secret")
    (root / "meta/notes.json").symlink_to(tmp_path / "id_rsa")
    refused = run_robotrove("push", root, NAME)
    assert refused.returncode == 2
    assert (
        f"would send files from outside of the dataset:\n    meta/notes.json -> {tmp_path}/id_rsa\n" in refused.stderr
    )
    assert hub.requests == []
    meant = run_robotrove("push", root, NAME, "--follow-links")
    assert meant.returncode == 0, meant.stderr
    assert shown(hub)["meta/notes.json"] == b"secret"
    assert HubPublisher(repo_id=NAME, dataset=str(root)).follow_links is False


def test_bad_usage(hub: HubServer, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    none = run_robotrove("push", tmp_path / "nothing", NAME)
    assert (none.returncode, none.stdout) == (2, "")
    assert "meta/info.json" in none.stderr, none.stderr
    assert run_robotrove("push", made / "v3.0", "cubes").returncode == 2
    monkeypatch.delenv("HF_TOKEN")
    logged_out = run_robotrove("push", made / "v3.0", NAME)
    assert logged_out.returncode == 2
    assert "hf auth login" in logged_out.stderr
    assert hub.requests == []


PUBLISH = [
    {"hub_publisher": {"repo_id": NAME, "license": "mit"}},
    {"hub_publisher": {"repo_id": NAME, "version": "v2.1", "branch": "v2.1"}},
]


@pytest.mark.parametrize("executor", [[], ["--executor", "slurm", "executor.cluster=local", "--wait"]])
def test_a_run_publishes_what_it_made(hub: HubServer, tmp_path: Path, executor: list[str]) -> None:
    files = [sample(tmp_path, f"{seed}.hdf5", 2, 6, seed=seed) for seed in range(2)]
    pipeline = write_pipeline(tmp_path, files, formats=["v3.0", "v2.1"], publish=PUBLISH)
    out = tmp_path / "out"
    # The Hub does not take the commit at first: the run stops, its dataset is there, and the same command goes on.
    hub.fail("POST .*/commit/main", status=403, message="maintenance", times=1)
    stopped = run_cli(pipeline, out, *executor)
    assert stopped.returncode == 1, stopped.stderr
    assert "maintenance" in stopped.stderr
    assert (out / "v3.0/meta/info.json").exists()
    assert shown(hub) == {}
    sent = hub.transfers.received
    assert sent > 0
    done = run_cli(pipeline, out, *executor)
    assert done.returncode == 0, done.stderr
    for version, revision in (("v3.0", "main"), ("v2.1", "v2.1")):
        on_hub = shown(hub, revision)
        assert on_hub == expected(out / version, on_hub["README.md"].decode())
    assert all(count == 1 for count in hub.transfers.sent.values())
    assert "already finished" in run_cli(pipeline, out, *executor).stdout
    check_no_token(hub, [tmp_path / "out", tmp_path / "out.run"], stopped, done)


def check_no_token(hub: HubServer, folders: list[Path], *outputs: subprocess.CompletedProcess[str]) -> None:
    """The token was used, and is in nothing that was left behind or printed."""
    assert TOKEN in hub.seen_tokens
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    kinds = {path.suffix for path in files}
    assert {".json", ".yaml", ".log", ".parquet"} <= kinds
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []
    assert [text for done in outputs for text in (done.stdout, done.stderr) if TOKEN in text] == []


def test_a_profile_with_a_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"setup: ['export HF_TOKEN={TOKEN}']\n")
    pipeline = write_pipeline(tmp_path, ["a.hdf5"], executor={"profile": "mine.yaml"})
    refused = run_cli(pipeline, tmp_path / "out")
    assert refused.returncode == 2
    assert "executor.setup[0]: holds a token of the Hub" in refused.stderr
    assert TOKEN not in refused.stderr


def test_the_same_in_python(tmp_path: Path) -> None:
    files = [sample(tmp_path, "a.hdf5", 1, 4)]
    pipeline = write_pipeline(tmp_path, files, publish=[{"hub_publisher": {"repo_id": NAME, "public": True}}])
    made = Pipeline(
        source=Hdf5Reader(files=[str(file) for file in files], layout="isaaclab"),
        writer=ShardWriter(video=VideoSettings(codec="libx264", preset="ultrafast")),
        publish=[HubPublisher(repo_id=NAME, public=True)],
    )
    assert made.spec == load_pipeline(pipeline).spec == PipelineSpec.from_yaml(made.spec.to_yaml())
    assert [block.use for block in made.spec.publish] == ["hub_publisher"]


def test_another_place_is_another_run(hub: HubServer, tmp_path: Path) -> None:
    files = [sample(tmp_path, "a.hdf5", 1, 4)]
    pipeline = write_pipeline(tmp_path, files, publish=[{"hub_publisher": {"repo_id": NAME}}])
    assert run_cli(pipeline, tmp_path / "out").returncode == 0
    write_pipeline(tmp_path, files, publish=[{"hub_publisher": {"repo_id": "lab/mugs"}}])
    changed = run_cli(pipeline, tmp_path / "out")
    assert changed.returncode == 2
    assert 'publish[0].repo_id: "lab/mugs" was "lab/cubes"' in changed.stderr


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"publish": [{"hub_publisher": {"repo_id": NAME, "token": "x"}}]},
            r"publish\[0\].token: is a place for a secret",
        ),
        ({"executor": {"slurm": {"setup": [f"export HF_TOKEN={TOKEN}"]}}}, "setup.*holds a token of the Hub"),
        ({"source": {"task": TOKEN}}, "source.task: holds a token of the Hub"),
        ({"dataset": ["aggregator", {"hub_publisher": {"repo_id": NAME}}]}, "block for `publish:`"),
    ],
)
def test_pipelines_that_are_refused(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    pipeline = write_pipeline(tmp_path, [sample(tmp_path, "a.hdf5", 1, 4)], **more)
    refused = run_cli(pipeline, tmp_path / "out")
    assert refused.returncode == 2
    assert re.search(message, refused.stderr), refused.stderr
    assert TOKEN not in refused.stdout + refused.stderr
    assert not (tmp_path / "out.run").exists()
