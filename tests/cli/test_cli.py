from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from robotrove.cli import COMMANDS
from robotrove.tests.support.command import Outcome

COMMAND = [sys.executable, "-m", "robotrove.cli"]
HEAVY = {"huggingface_hub", "h5py", "av", "pyarrow", "datatrove", "pydantic", "numpy", "rich"}


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "robotrove.cli", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [
        line.split("|") for line in done.stderr.splitlines() if line.startswith("import time:") and "[us]" not in line
    ]
    names = {columns[2].strip().partition(".")[0] for columns in lines}
    assert {"click", "robotrove"} <= names
    assert not names & HEAVY
    assert len(lines) < 250, "modules, of which a third are Python's own at start; a time would depend on the machine"
    assert [name for name in COMMANDS if re.search(rf"^  {name} ", done.stdout, re.MULTILINE)] == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(robotrove: Callable, name: str) -> None:
    found = robotrove(name, "--help")
    assert (found.code, found.err) == (0, "")
    assert found.out.startswith(f"Usage: robotrove {name}")


def test_a_mistyped_command(robotrove: Callable) -> None:
    found = robotrove("verfy", "x")
    assert (found.code, found.out) == (2, "")
    assert "did you mean 'verify'?" in found.err


def test_bad_usage(robotrove: Callable) -> None:
    assert robotrove("trace", "x", "-1").code == 2
    assert robotrove("status").code == 2
    assert robotrove("--version").code == 0


def test_no_such_pipeline_is_an_error_not_a_traceback(robotrove: Callable, tmp_path: Path) -> None:
    found = robotrove("plan", tmp_path / "no.yaml")
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith(f"error: {tmp_path}/no.yaml: cannot be read")


def test_a_reader_that_has_seen_enough(converted: Path) -> None:
    for arguments in (["schema"], ["inspect", str(converted / "isaaclab.hdf5"), "--attrs", "--preview"]):
        with subprocess.Popen(
            [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == ""
        assert process.returncode == 1


def test_an_unwritable_standard_output_of_help() -> None:
    with subprocess.Popen([*COMMAND, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


def test_schema_is_one_document(robotrove: Callable) -> None:
    found = robotrove("schema")
    assert found.code == 0
    assert found.json["title"] == "robotrove pipeline"
    assert "success_filter arguments" in found.json["$defs"]


def test_an_error_is_one_line_of_json_where_json_is_asked_for(
    robotrove: Callable[..., Outcome], tmp_path: Path
) -> None:
    found = robotrove("status", tmp_path / "no.run", "--json")
    *text, line = found.err.splitlines()
    assert (found.code, found.out) == (2, "")
    assert text[0].startswith("error: ")
    error = json.loads(line)
    assert error["error"] == "UsageError"
    assert str(tmp_path / "no.run") in error["where"]
    assert text[0] == f"error: {error['where']}: {error['found']}"
    assert robotrove("status", tmp_path / "no.run").err.splitlines() == text


def test_every_error_of_a_file_is_in_the_json(robotrove: Callable[..., Outcome], tmp_path: Path) -> None:
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text("source: {files: [a.hdf5], layout: isaaclab}\nsteps: [nothing_like_it]\nworkers: many\n")
    error = json.loads(robotrove("plan", pipeline, "--json").err.splitlines()[-1])
    assert [problem["line"] for problem in error["problems"]] == [2, 3]


def test_bad_usage_in_json(robotrove: Callable[..., Outcome]) -> None:
    found = robotrove("status", "--json", "--nothing")
    assert found.code == 2
    assert "No such option" in json.loads(found.err.splitlines()[-1])["found"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--help"], ["schema"]])
def test_a_full_disk_behind_standard_output(arguments: list[str], unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 1
    first, *_ = done.stderr.splitlines()
    assert first == "error: standard output: cannot be written: No space left on device"
    assert "Traceback" not in done.stderr


def test_a_full_disk_behind_standard_error(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, "inspect", tmp_path / "no.hdf5"], stderr=full, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (2, b"")


def test_the_error_of_a_command_has_no_control_characters(robotrove: Callable[..., Outcome], tmp_path: Path) -> None:
    found = robotrove("inspect", tmp_path / "a\x1b[2J\x9b\u202e.hdf5", "--json")
    assert found.code == 2
    text, *_, last = found.err.splitlines()
    assert r"a\x1b[2J\x9b\u202e.hdf5" in text
    assert json.loads(last)["where"].endswith("a\x1b[2J\x9b\u202e.hdf5")
    assert "\x1b" not in last
    assert "\x9b" not in last
