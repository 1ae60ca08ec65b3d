"""`robotrove push DATASET osmo:…`, with a command that stands in for OSMO's; to the Hub: tests/hub."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from robotrove.cli.datasets.push import command
from robotrove.core.errors import RobotroveError, UsageError
from robotrove.formats.hdf5.samples import write_sample
from robotrove.tests.support.blocks.fake_osmo import install
from robotrove.tests.support.pipelines.runs import quick_disk  # noqa: F401 - autouse
from robotrove.tests.support.pipelines.shipped_runs import run_shipped


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("push")
    files = write_sample("leisaac", folder, episodes=2, frames=20, height=48, width=64)
    run_shipped("leisaac_so101", files, folder / "lerobot")
    return folder / "lerobot"


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`osmo` on PATH; what it got is in this file."""
    written = install(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("OSMO_RECORD", str(written))
    return written


def push(*arguments: str | Path) -> None:
    command.main([str(argument) for argument in arguments], standalone_mode=False)


def uploads(record: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def stored_as(recording: str, root: Path) -> list[list[Any]]:
    """Return the names that OSMO must have, with their sizes."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return sorted([f"{recording}/lerobot/{path.relative_to(root)}", path.stat().st_size] for path in files)


@pytest.mark.parametrize(
    ("place", "recording", "has", "address", "arguments"),
    [
        ("pick (1)/lerobot", "pick (1)", "dataset data", "isaac/cubes:v2", ["dataset", "upload"]),
        ("cubes {2}", "cubes {2}", "dataset data", "cubes", ["dataset", "upload"]),
        ("pick/lerobot", "pick", "data", "s3://bucket/cubes", ["data", "upload"]),
        ("cubes\x1b[31m", "cubes\x1b[31m", "data", "s3://bucket/cubes", ["data", "upload"]),
    ],
)
def test_it_is_stored_as_recording_and_lerobot(
    made: Path,
    record: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    place: str,
    recording: str,
    has: str,
    address: str,
    arguments: list[str],
) -> None:
    monkeypatch.setenv("OSMO_HAS", has)
    root = shutil.copytree(made, tmp_path / place)
    (root.parent / "beside").mkdir()
    (root.parent / "beside/other.txt").write_text("not of the dataset")
    push(root, f"osmo:{address}")
    [upload] = uploads(record)
    assert upload["arguments"][:2] == arguments
    assert upload["arguments"][-2] == address
    assert upload["stored"] == stored_as(recording, root)
    shown = recording.replace("\x1b", "\\x1b")
    assert capsys.readouterr().out == f"{address}: uploaded as {shown}/lerobot/…\n"
    assert [path for path in root.rglob("*") if path.is_symlink()] == []
    if root.name != "lerobot":
        assert not Path(upload["arguments"][-1]).exists(), "the temporary folder of links"


def test_a_dataset_behind_a_link(made: Path, record: Path, tmp_path: Path) -> None:
    """OSMO does not walk into folders behind links."""
    (tmp_path / "pick").mkdir()
    (tmp_path / "pick/lerobot").symlink_to(made)
    push(tmp_path / "pick/lerobot", "osmo:cubes", "--json")
    assert uploads(record)[0]["stored"] == stored_as("pick", made)


def test_the_document(made: Path, record: Path, capsys: pytest.CaptureFixture[str]) -> None:
    push(made, "osmo:cubes", "--json")
    recording = made.parent.name
    assert json.loads(capsys.readouterr().out) == {
        "dataset": str(made),
        "address": "cubes",
        "path": f"{recording}/lerobot",
    }


@pytest.mark.parametrize(("address", "upload"), [("cubes", "dataset upload"), ("s3://bucket/cubes", "data upload")])
@pytest.mark.parametrize(
    ("does", "message"),
    [
        ("fail", "ended with exit code 3"),
        ("lose_files", "ended with exit code 0, but some files were not uploaded"),
        ("kill", "was ended by signal 9"),
    ],
)
def test_uploads_that_fail(
    made: Path, record: Path, monkeypatch: pytest.MonkeyPatch, *, address: str, upload: str, does: str, message: str
) -> None:
    monkeypatch.setenv("OSMO_DOES", does)
    monkeypatch.setenv("OSMO_LOGIN_TOKEN", "s3cr3t-login-0123456789")
    with pytest.raises(RobotroveError) as caught:
        push(made, f"osmo:{address}")
    assert str(caught.value).startswith(f"osmo {upload} {address}: {message}")
    assert caught.value.exit_code == 1
    for secret in ("s3cr3t-login-0123456789", "abcdefgh12345678", "AKIAABCDEFGHIJKLMNOP"):
        assert secret not in str(caught.value)


def test_a_dataset_with_errors_is_not_sent(made: Path, record: Path, tmp_path: Path) -> None:
    root = shutil.copytree(made, tmp_path / "cubes")
    info = json.loads((root / "meta/info.json").read_text())
    (root / "meta/info.json").write_text(json.dumps(info | {"total_frames": 7}))
    with pytest.raises(RobotroveError, match="total_frames"):
        push(root, "osmo:cubes")
    assert uploads(record) == []
    push(root, "osmo:cubes", "--no-verify")
    assert uploads(record)[0]["stored"] == stored_as("cubes", root)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["osmo:cubes", "--public"], "^push to OSMO: takes no --public"),
        (["osmo:cubes", "--branch", "v2.1", "--license", "mit"], "takes no --branch, --license"),
        (["osmo:cubes", "--follow-links"], "takes no --follow-links"),
        (["osmo:a.b"], r"^push to OSMO: 'a.b' is not an address of OSMO[\s\S]*letters, digits, - and _"),
        (["s3://bucket/cubes"], r"is not a repository of the Hub[\s\S]*osmo:s3://bucket/cubes"),
        (["s3://me:secret@bucket/cubes"], r"^s3://\*\*\*@bucket/cubes: is not a repository of the Hub"),
    ],
)
def test_what_is_refused(made: Path, record: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        push(made, *arguments)
    assert uploads(record) == []


def test_what_this_client_does_not_know(made: Path, record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSMO_HAS", "data")
    with pytest.raises(UsageError, match=r"before 6.4[\s\S]*to do: give a URI such as s3://BUCKET/PATH"):
        push(made, "osmo:cubes")


def test_what_is_no_dataset(record: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a dataset"):
        push(tmp_path, "osmo:cubes")
    assert uploads(record) == []
