"""Errors are data: their text, and the way from one process to another."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from robotrove.core.errors import (
    COMMAND_LINE,
    ConfigError,
    Damaged,
    DatasetDamaged,
    EpisodeRejected,
    Problem,
    RankFailed,
    RobotroveError,
    RunChanged,
    RunLocked,
    RunOfOtherVersion,
    Superseded,
    UsageError,
    naming_dataset,
    option,
    undamaged,
)

ERRORS = [
    RobotroveError("a.yaml", "is empty", "a pipeline", "robotrove init FILE", "docs/pipelines.md"),
    UsageError("", "nothing was given"),
    ConfigError("a.yaml", [Problem(3, "no such block"), Problem(1, "no source")]),
    EpisodeRejected("bad_image", "row 3 ends early"),
    RunLocked("out.run", "process 7"),
    RunChanged("out.run", ["crf 30 was 23"]),
    RunOfOtherVersion("out.run", "0.1.0", "0.2.0", "start over"),
    Damaged("meta/info.json", "has no fps"),
    DatasetDamaged(Path("/data/my cubes"), "meta/info.json", "has no fps"),
    RankFailed("convert", {3: "killed"}, "out.run/logs", "robotrove run a.yaml"),
    Superseded("shard 3"),
]


def test_the_text_is_made_from_what_is_known() -> None:
    assert str(ERRORS[0]) == (
        "a.yaml: is empty\n  expected: a pipeline\n  see: docs/pipelines.md\n  to do: robotrove init FILE"
    )
    assert str(ERRORS[1]) == "nothing was given"


def test_a_log_is_something_to_see_and_not_to_expect() -> None:
    error = ERRORS[9]
    assert (error.expected, error.see) == ("", "out.run/logs")
    assert error.todo == "fix the cause, then resume with: robotrove run a.yaml"


def test_problems_of_a_file_come_by_line() -> None:
    assert str(ERRORS[2]).splitlines()[1:3] == ["  a.yaml:1: no source", "  a.yaml:3: no such block"]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_every_error_reaches_another_process_as_it_is(error: RobotroveError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_damage_is_told_with_its_dataset_and_the_command_that_checks_it() -> None:
    with pytest.raises(DatasetDamaged) as caught, naming_dataset(Path("/data/my cubes")):
        raise Damaged("meta/info.json", "has no fps")
    assert str(caught.value).splitlines() == [
        "/data/my cubes/meta/info.json: has no fps",
        "  expected: a complete LeRobot dataset",
        "  to do: robotrove verify '/data/my cubes'",
    ]
    assert isinstance(caught.value.__cause__, Damaged)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_every_error_is_data_for_machines(error: RobotroveError) -> None:
    found = json.loads(json.dumps(error.to_json()))
    assert found["error"] == type(error).__name__
    for name in ("where", "found", "expected", "see", "todo"):
        assert found.get(name, "") == getattr(error, name)


def test_what_an_error_knows_besides_is_in_its_json() -> None:
    assert ERRORS[2].to_json()["problems"] == [
        {"line": 1, "message": "no source"},
        {"line": 3, "message": "no such block"},
    ]
    assert (ERRORS[3].to_json()["reason"], ERRORS[3].to_json()["detail"]) == ("bad_image", "row 3 ends early")
    assert ERRORS[9].to_json()["failures"] == {"3": "killed"}


def test_options_are_named_as_they_are_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (option("run-dir", "DIR"), option("fresh")) == ('run_dir="DIR"', "fresh=True")
    assert (
        'output="DIR" for another dataset, run_dir="DIR" for a new run, or fresh=True' in RunChanged("out.run", []).todo
    )
    monkeypatch.setenv(COMMAND_LINE, "1")
    assert (option("run-dir", "DIR"), option("fresh")) == ("--run-dir DIR", "--fresh")
    assert "--output DIR for another dataset, --run-dir DIR for a new run, or --fresh" in RunChanged("out.run", []).todo


def test_damaged_files_of_a_run_say_how_to_start_over() -> None:
    with pytest.raises(RobotroveError) as caught, undamaged(Path("out.run/run.json")):
        raise KeyError("digest")
    assert (caught.value.where, caught.value.found) == ("out.run/run.json", "is damaged: KeyError: 'digest'")
    assert "fresh=True" in caught.value.todo
