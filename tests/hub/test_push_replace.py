"""A push replaces no other dataset, unless that is asked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from robotrove.blocks.publish.hub_publisher import HubPublisher
from robotrove.core.errors import UsageError
from robotrove.tests.support.command import run_robotrove
from robotrove.tests.support.hub.pushing import NAME, expected, shown
from robotrove.tests.support.hub.server import HubServer
from robotrove.tests.support.pipelines.runs import run_cli, sample, write_pipeline

TODO = "  to do: --replace (replace: true in a pipeline) to replace it, --branch NAME, or another repository\n"


def make(folder: Path, seeds: list[int], **more: Any) -> Path:
    """Return a dataset of two episodes for each seed."""
    folder.mkdir(parents=True)
    files = [sample(folder, f"{seed}.hdf5", 2, 6, seed=seed) for seed in seeds]
    done = run_cli(write_pipeline(folder, files, **more), folder / "out", "--workers", "1")
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with datasets: a, and b of other recordings, each in both versions; ab has the recordings of both."""
    folder = tmp_path_factory.mktemp("replace")
    for name, seeds in (("a", [1]), ("b", [2]), ("ab", [1, 2])):
        make(folder / name, seeds, formats=["v3.0", "v2.1"]).rename(folder / f"{name}-made")
    return folder


def dataset(made: Path, name: str, version: str = "v3.0") -> Path:
    return made / f"{name}-made" / version


def put(hub: HubServer, files: dict[str, bytes], branch: str = "main") -> str:
    """Commit files by hand; none of those before stay."""
    repository = hub.repository(NAME)
    tree = {path: repository.keep(content) for path, content in files.items()}
    repository.move(branch, repository.commit(repository.resolve(branch), tree, "by hand"))
    return str(repository.resolve(branch))


def refused(root: Path, *options: str) -> str:
    done = run_robotrove("push", root, NAME, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(TODO), done.stderr
    return done.stderr


def pushed(root: Path, *options: str) -> None:
    done = run_robotrove("push", root, NAME, *options)
    assert done.returncode == 0, done.stderr


def test_other_episodes(hub: HubServer, made: Path) -> None:
    pushed(dataset(made, "a"))
    before, requests = shown(hub), len(hub.requests)
    told = refused(dataset(made, "b"))
    assert f"dataset {NAME} on the Hub, branch main: has another dataset: none of its 2 episodes " in told
    assert shown(hub) == before
    assert [
        request
        for request in hub.requests[requests:]
        if not request.startswith(("GET", "POST /api/datasets/lab/cubes/paths-info"))
    ] == []
    pushed(dataset(made, "b"), "--replace")
    assert shown(hub) == expected(dataset(made, "b"), shown(hub)["README.md"].decode())


def test_no_question_where_episodes_are_shared(hub: HubServer, made: Path) -> None:
    pushed(dataset(made, "a"))
    pushed(dataset(made, "a"))
    pushed(dataset(made, "ab"))
    pushed(dataset(made, "b"))
    pushed(dataset(made, "ab"))
    refused(dataset(made, "ab", "v2.1"))


def test_another_version(hub: HubServer, made: Path) -> None:
    pushed(dataset(made, "a"))
    assert "has a dataset of version v3.0 with 2 episodes; this one is of version v2.1\n" in refused(
        dataset(made, "a", "v2.1")
    )
    pushed(dataset(made, "a", "v2.1"), "--branch", "v2.1")  # a new one, which begins as a copy of main
    pushed(dataset(made, "ab", "v2.1"), "--branch", "v2.1")
    assert "has a dataset of version v2.1 with 4 episodes; this one is of version v3.0\n" in refused(
        dataset(made, "a"), "--branch", "v2.1"
    )


def test_a_new_branch_is_resumed(hub: HubServer, made: Path) -> None:
    """A push that broke off left a copy of main."""
    pushed(dataset(made, "a"))
    hub.fail("POST .*/commit/v2.1", status=403, message="maintenance", times=1)
    assert run_robotrove("push", dataset(made, "a", "v2.1"), NAME, "--branch", "v2.1").returncode == 1
    assert shown(hub, "v2.1") == shown(hub)
    pushed(dataset(made, "a", "v2.1"), "--branch", "v2.1")


def test_datasets_of_other_tools(hub: HubServer, made: Path, tmp_path: Path) -> None:
    """They do not say where their episodes come from: only the same files are no other dataset."""
    recorded = shutil.copytree(dataset(made, "a"), tmp_path / "recorded")
    shutil.rmtree(recorded / "meta/robotrove")
    pushed(dataset(made, "a"))
    refused(recorded)
    pushed(recorded, "--replace")
    pushed(recorded)
    refused(dataset(made, "a"))
    info = json.loads((recorded / "meta/info.json").read_text())
    (recorded / "meta/info.json").write_text(json.dumps(info | {"robot_type": "other"}))
    refused(recorded)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"data/train.parquet": b"rows"}, "has files of another dataset, and no meta/info.json that says which"),
        ({"meta/info.json": b"[]"}, "has files of another dataset, and no meta/info.json that says which"),
        ({"meta/info.json": b'{"codebase_version": "v9\\u001b[31m"}'}, "version v9\\x1b[31m with None episodes"),
        (
            {"meta/info.json": b'{"codebase_version": "v3.0"}', "meta/robotrove/episodes.parquet": b"no parquet"},
            "has another dataset",
        ),
    ],
)
def test_what_else_is_on_a_branch(hub: HubServer, made: Path, files: dict[str, bytes], told: str) -> None:
    pushed(dataset(made, "a"))
    put(hub, files)
    assert told in refused(dataset(made, "a"))
    assert shown(hub) == files


def test_a_branch_without_a_dataset(hub: HubServer, made: Path) -> None:
    pushed(dataset(made, "a"))
    put(hub, {"LICENSE": b"mine", "recordings/1.hdf5": b"raw"})
    pushed(dataset(made, "b"))
    assert shown(hub)["LICENSE"] == b"mine"


def test_a_head_that_moves_meanwhile(hub: HubServer, made: Path) -> None:
    """Between the first question and the commit."""
    pushed(dataset(made, "a"))
    publisher = HubPublisher(repo_id=NAME, dataset=str(dataset(made, "ab")))
    publisher.plan()
    for unit in publisher.units():
        publisher.process(unit)
    put(hub, {"meta/info.json": b'{"codebase_version": "v2.1", "total_episodes": 7}'})
    with pytest.raises(UsageError, match=r"version v2\.1 with 7 episodes"):
        publisher.finish()
    assert list(shown(hub)) == ["meta/info.json"]


def test_a_run_is_refused_before_it_begins(hub: HubServer, made: Path, tmp_path: Path) -> None:
    """Its episodes are known once it is planned; a rerun of the same recordings, or an append, is no other dataset."""
    pushed(dataset(made, "a"))
    publish = [{"hub_publisher": {"repo_id": NAME}}]
    other = write_pipeline(tmp_path, [sample(tmp_path, "2.hdf5", 2, 6, seed=2)], publish=publish)
    stopped = run_cli(other, tmp_path / "out")
    assert (stopped.returncode, stopped.stdout) == (2, "")
    assert "none of its 2 episodes comes from a recording of this one" in stopped.stderr
    assert not (tmp_path / "out.run").exists()
    older = run_cli(
        write_pipeline(tmp_path, [tmp_path / "2.hdf5"], formats=["v2.1"], publish=publish), tmp_path / "out"
    )
    assert older.returncode == 2
    assert "this one is of version v2.1" in older.stderr
    merged = tmp_path / "merge.yaml"
    merge = {"dataset": [{"aggregator": {"datasets": [str(dataset(made, "b"))]}}, "dataset_stats"], "publish": publish}
    merged.write_text(yaml.safe_dump(merge))
    assert "none of its 2 episodes" in run_cli(merged, tmp_path / "merged").stderr
    assert not list(tmp_path.glob("merged*"))
    merge["publish"] = [{"hub_publisher": {"repo_id": NAME, "replace": True}}]
    merged.write_text(yaml.safe_dump(merge))
    done = run_cli(merged, tmp_path / "merged")
    assert done.returncode == 0, done.stderr
    assert shown(hub) == expected(tmp_path / "merged", shown(hub)["README.md"].decode())


def test_a_run_begins_where_the_hub_does_not_answer(hub: HubServer, tmp_path: Path) -> None:
    """A cluster's node may reach it; its stages ask again."""
    hub.fail("GET .*/refs", status=503, times=1)
    publish = [{"hub_publisher": {"repo_id": NAME}}]
    pipeline = write_pipeline(tmp_path, [sample(tmp_path, "1.hdf5", 1, 6)], publish=publish)
    done = run_cli(pipeline, tmp_path / "out", "--workers", "1")
    assert done.returncode == 0, done.stderr


def test_the_card_keeps_its_licence(hub: HubServer, made: Path) -> None:
    def licence(branch: str = "main") -> Any:
        front = yaml.safe_load(shown(hub, branch)["README.md"].decode().split("---\n")[1])
        return {key: value for key, value in front.items() if key.startswith("license")}

    pushed(dataset(made, "a"), "--license", "cc-by-4.0")
    pushed(dataset(made, "ab"))
    assert licence() == {"license": "cc-by-4.0"}
    assert "| licence | `cc-by-4.0` |" in shown(hub)["README.md"].decode()
    pushed(dataset(made, "a", "v2.1"), "--branch", "v2.1")
    assert licence("v2.1") == {"license": "cc-by-4.0"}
    card = shown(hub)["README.md"].decode().replace("license: cc-by-4.0", "license: other\nlicense_name: our-lab")
    put(hub, shown(hub) | {"README.md": card.encode()})
    pushed(dataset(made, "a"))
    assert licence() == {"license": "other", "license_name": "our-lab"}
    pushed(dataset(made, "a"), "--license", "mit")
    assert licence() == {"license": "mit"}
    unknown = run_robotrove("push", dataset(made, "a"), NAME, "--license", "apache2")
    assert unknown.returncode == 2
    assert "'apache2' is not a licence of the Hub (did you mean 'apache-2.0'?)" in unknown.stderr


def test_a_pipeline_with_an_unknown_licence(tmp_path: Path) -> None:
    publish = [{"hub_publisher": {"repo_id": NAME, "license": "apache2"}}]
    stopped = run_cli(write_pipeline(tmp_path, [sample(tmp_path, "1.hdf5", 1, 4)], publish=publish), tmp_path / "out")
    assert stopped.returncode == 2
    assert "publish[0]" in stopped.stderr
    assert "did you mean 'apache-2.0'?" in stopped.stderr


def test_the_list_of_checksums_goes_with_edited_metadata(hub: HubServer, made: Path, tmp_path: Path) -> None:
    """Metadata that were edited and found right are no longer told as changed."""
    root = shutil.copytree(dataset(made, "a"), tmp_path / "edited")
    info = json.loads((root / "meta/info.json").read_text())
    (root / "meta/info.json").write_text(json.dumps(info | {"robot_type": "other"}))
    assert "note: meta/info.json" in run_robotrove("verify", root).stdout
    pushed(root)
    assert "note:" not in run_robotrove("verify", root).stdout
    assert shown(hub) == expected(root, shown(hub)["README.md"].decode())
