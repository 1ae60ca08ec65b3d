"""osmo_publisher, with a command that stands in for OSMO's: no server can be had here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from robotrove.tests.support.blocks.fake_osmo import install
from robotrove.tests.support.pipelines.runs import run_cli, sample, write_pipeline

pytestmark = pytest.mark.slow


NAME = "isaac/gr1_bottle:v2"
URI = "swift://pdx.s8k.io/AUTH_team-isaac/datasets/bottle"
LOGIN = "s3cr3t-login-0123456789"


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`osmo` on PATH; what it got is in this file."""
    written = install(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("OSMO_RECORD", str(written))
    monkeypatch.setenv("OSMO_LOGIN_TOKEN", LOGIN)
    return written


def uploads(record: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def pipeline(folder: Path, **more: Any) -> Path:
    publish = [{"osmo_publisher": {"dataset": NAME}}]
    return write_pipeline(folder, [sample(folder, "bottle (1).hdf5", 2, 6)], **{"publish": publish, **more})


def expected(output: Path) -> list[list[Any]]:
    files = [path for path in output.rglob("*") if path.is_file()]
    return sorted([f"{output.parent.name}/lerobot/{path.relative_to(output)}", path.stat().st_size] for path in files)


@pytest.mark.parametrize("executor", [[], ["--executor", "slurm", "executor.cluster=local", "--wait"]])
def test_what_is_sent_is_the_dataset_and_nothing_beside_it(record: Path, tmp_path: Path, executor: list[str]) -> None:
    """The folder's name has characters that mean something in a pattern; run directory and others are in it too."""
    output = tmp_path / "bottle (1).+" / "lerobot"
    output.parent.mkdir()
    (output.parent / "lerobotX").mkdir()
    (output.parent / "lerobotX" / "other.txt").write_text("not ours")
    (output.parent / "dangling").symlink_to(tmp_path / "nowhere")
    done = run_cli(pipeline(tmp_path), output, *executor)
    assert done.returncode == 0, done.stderr
    assert (output.parent / "lerobot.run/report.json").exists(), "the run directory is beside it"
    [upload] = uploads(record)
    command, (name, folder) = upload["arguments"][:3], upload["arguments"][-2:]
    assert (command, name, folder) == (["dataset", "upload", "--regex"], NAME, str(output.parent))
    assert upload["stored"] == expected(output)
    assert ["bottle (1).+/lerobot/meta/info.json", (output / "meta/info.json").stat().st_size] in upload["stored"]
    again = run_cli(tmp_path / "pipeline.yaml", output, *executor)
    assert (again.returncode, len(uploads(record))) == (0, 1)
    assert "already finished" in again.stdout


def test_when_it_fails_the_same_command_goes_on_there(
    record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "bottle" / "lerobot"
    monkeypatch.setenv("OSMO_DOES", "fail")
    failed = run_cli(pipeline(tmp_path), output)
    assert failed.returncode == 1
    assert f"osmo dataset upload {NAME}: ended with exit code 3" in failed.stderr
    assert "Error: bucket isaac is full \\x1b[31m!" in failed.stderr, "control characters are not for terminals"
    assert "token=*** to s3://***@bucket" in failed.stderr
    assert "Authorization: Bearer ***" in failed.stderr
    assert "as ***, of the environment" in failed.stderr
    assert (output / "meta/info.json").exists(), "the dataset is there all the same"
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    monkeypatch.delenv("OSMO_DOES")
    done = run_cli(tmp_path / "pipeline.yaml", output)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before
    assert [upload["stored"] for upload in uploads(record)] == [expected(output)] * 2
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "bin"]
    secrets = (LOGIN, "abcdefgh12345678", "AKIAABCDEFGHIJKLMNOP")
    assert [path for path in left if any(secret.encode() in path.read_bytes() for secret in secrets)] == []
    assert not any(secret in failed.stdout + failed.stderr for secret in secrets)


@pytest.mark.parametrize(
    ("does", "message"),
    [("lose_files", "exit code 0, but some files were not uploaded"), ("kill", "was ended by signal 9")],
)
def test_other_ways_to_fail(
    record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, message: str
) -> None:
    monkeypatch.setenv("OSMO_DOES", does)
    failed = run_cli(pipeline(tmp_path), tmp_path / "bottle" / "lerobot")
    assert failed.returncode == 1
    assert message in failed.stderr


def refused(pipeline: Path, output: Path, message: str) -> None:
    done = run_cli(pipeline, output)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr, done.stderr
    assert not output.with_name(f"{output.name}.run").exists(), "before anything is done"


def test_without_the_command_nothing_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    refused(pipeline(tmp_path), tmp_path / "bottle" / "lerobot", "osmo: this command is not installed, or not on PATH")
    assert not (tmp_path / "bottle").exists()


def test_a_command_that_cannot_be_started(record: Path, tmp_path: Path) -> None:
    (tmp_path / "bin/osmo").write_text("#!/nowhere/python\n")
    refused(pipeline(tmp_path), tmp_path / "bottle" / "lerobot", "osmo: cannot be started: No such file or directory")


@pytest.mark.parametrize(
    ("has", "address", "unknown", "do"),
    [
        ("data", NAME, "osmo dataset upload", "give a URI such as s3://BUCKET/PATH, for `osmo data upload`"),
        ("dataset", URI, "osmo data upload", "give [BUCKET/]NAME[:TAG], for `osmo dataset upload`"),
        ("workflow", URI, "osmo data upload", "install OSMO's command line"),
    ],
)
def test_a_client_without_this_command(
    record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: str, address: str, unknown: str, do: str
) -> None:
    monkeypatch.setenv("OSMO_HAS", has)
    publish = [{"osmo_publisher": {"dataset": address}}]
    made = pipeline(tmp_path, publish=publish)
    refused(made, tmp_path / "bottle" / "lerobot", f"{unknown}: this osmo does not know it: ended with exit code 2")
    refused(made, tmp_path / "bottle" / "lerobot", f"to do: {do}")


@pytest.mark.parametrize("has", ["dataset data", "data"])
def test_a_uri_of_its_storage(record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: str) -> None:
    monkeypatch.setenv("OSMO_HAS", has)
    output = tmp_path / "bottle" / "lerobot"
    done = run_cli(pipeline(tmp_path, publish=[{"osmo_publisher": {"dataset": URI}}]), output)
    assert done.returncode == 0, done.stderr
    [upload] = uploads(record)
    assert upload["arguments"] == ["data", "upload", "--regex", "bottle/lerobot/", URI, str(output.parent)]
    assert upload["stored"] == expected(output)


def test_outputs_that_osmo_s_workflows_would_not_find(record: Path, tmp_path: Path) -> None:
    refused(pipeline(tmp_path), tmp_path / "bottle", f"--output {tmp_path}/bottle/lerobot")
    both = pipeline(tmp_path, formats=["v3.0", "v2.1"])
    refused(both, tmp_path / "bottle" / "lerobot", "the run makes v3.0 and v2.1")
    assert uploads(record) == []


def test_a_link_in_the_dataset(record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSMO_DOES", "fail")
    output = tmp_path / "bottle" / "lerobot"
    run_cli(pipeline(tmp_path), output)
    monkeypatch.delenv("OSMO_DOES")
    [mark] = (output.parent / "lerobot.run/logs").glob("*osmo_publisher.plan/completions/*")
    mark.unlink()
    (output / "meta/more.json").symlink_to(output / "meta/info.json")
    failed = run_cli(tmp_path / "pipeline.yaml", output)
    assert failed.returncode == 1
    assert "meta/more.json: is not a plain file" in failed.stderr
    assert len(uploads(record)) == 1
