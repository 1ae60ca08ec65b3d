"""Annotations of LeRobot 0.6: the same entries come back, however their files type them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robotrove.core.errors import RobotroveError, UsageError
from robotrove.core.features import Feature
from robotrove.formats.lerobot.datasets.open_dataset import open_dataset
from robotrove.formats.lerobot.features.feature_kind import kind_of
from robotrove.tests.support.datasets.lerobot06 import (
    EVENTS,
    PERSISTENT,
    annotate,
    call,
    edit,
    entry,
    persistent_of,
    spoken,
    tiny,
)
from robotrove.tests.support.datasets.numbered import aggregate, convert
from robotrove.tests.support.datasets.tiny_v30 import FRONT, LENGTHS
from robotrove.verification.dataset.runner import verify

FRAMES = sum(LENGTHS)
SAID = {2: [entry(None, None, tool_calls=[call(text="On it – ä")])], 13: [entry("no", "interjection", role="user")]}
ASKED = {
    5: [entry('{"answer": 3}', "vqa", camera=FRONT), entry("[[1, 2]]", "trace", camera=FRONT)],
    14: [entry(None, None, tool_calls=[call(x=1.5, words=["a", "b"]), call(text="ok")])],
}
DECLARED = pa.list_(
    pa.struct(
        [
            *((name, pa.string()) for name in ("role", "content", "style", "camera")),
            ("tool_calls", pa.list_(pa.string())),
        ]
    )
)


def annotated(root: Path, events: dict[int, list[dict[str, Any]]]) -> Path:
    annotate(tiny(root), events)
    return root


def expected(events: dict[int, list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    return [events.get(row, []) for row in range(FRAMES)]


def held(entries: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    """Entries without the keys that pyarrow adds to the calls of one file, because another call there has them."""
    return [
        [one | {"tool_calls": one["tool_calls"] and without_none(one["tool_calls"])} for one in row] for row in entries
    ]


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_none(one) for key, one in value.items() if one is not None}
    return [without_none(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("order", [1, -1])
def test_annotations_are_merged_in_both_orders(tmp_path: Path, order: int) -> None:
    both = [(annotated(tmp_path / "said", SAID), SAID), (annotated(tmp_path / "asked", ASKED), ASKED)][::order]
    types = {pq.read_schema(path).field(EVENTS).type for root, _ in both for path in root.glob("data/*/*.parquet")}
    assert len(types) == 4  # none alike, as LeRobot's pipeline leaves them
    aggregate([root for root, _ in both], tmp_path / "merged", on_duplicate="keep")
    assert held(spoken(tmp_path / "merged", EVENTS)) == expected(both[0][1]) + expected(both[1][1])
    episodes = [episode for episode, length in enumerate(LENGTHS) for _ in range(length)] * 2
    assert spoken(tmp_path / "merged", PERSISTENT) == [persistent_of(episode) for episode in episodes]
    assert [f for f in verify(tmp_path / "merged").findings if f.severity == "error"] == []
    (rows,) = (tmp_path / "merged").glob("data/*/*.parquet")
    assert b"huggingface" not in (pq.read_schema(rows).metadata or {})
    columns = pq.ParquetFile(rows).metadata.row_group(0)
    content = next(c for c in map(columns.column, range(columns.num_columns)) if c.path_in_schema.endswith("content"))
    assert "RLE_DICTIONARY" in content.encodings


@pytest.mark.parametrize("kind", [DECLARED, pa.list_(pa.null()), pa.large_list(DECLARED.value_type)])
def test_the_types_of_other_writers(tmp_path: Path, kind: pa.DataType) -> None:
    events = {} if pa.types.is_null(kind.value_type) else {1: [entry(None, None, tool_calls=[json.dumps(call(n=7))])]}
    annotate(tiny(tmp_path / "one"), events, [kind, kind])
    for path in (tmp_path / "one").glob("data/*/*.parquet"):
        found = pq.read_schema(path).field(EVENTS).type
        assert found == kind or pa.types.is_large_list(found)
    assert [f for f in verify(tmp_path / "one").findings if f.severity == "error"] == []
    convert(tmp_path / "one", "v3.0", tmp_path / "two")
    found = spoken(tmp_path / "two", EVENTS)
    assert found == [[entry(None, None, tool_calls=[call(n=7)])] if row in events else [] for row in range(FRAMES)]


def change_events(path: Path, rows: pa.Array) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(EVENTS), EVENTS, rows), path)


def test_a_file_without_a_list_in_any_row(tmp_path: Path) -> None:
    """pyarrow gives such a column the type null, and LeRobot loads it."""
    root = annotated(tmp_path / "one", SAID)
    path = min(root.glob("data/*/*.parquet"))
    count = pq.read_metadata(path).num_rows
    change_events(path, pa.nulls(count))
    assert [f for f in verify(root).findings if f.severity == "error"] == []
    aggregate([root], tmp_path / "two")
    assert held(spoken(tmp_path / "two", EVENTS)) == [[]] * count + expected(SAID)[count:]


def test_rows_of_a_dataset_in_python(tmp_path: Path) -> None:
    dataset = open_dataset(str(annotated(tmp_path / "said", SAID)))
    rows = [entries for batch in dataset.rows([EVENTS]) for [entries] in batch[EVENTS]]
    assert held(rows) == expected(SAID)
    assert "stats/language_events/mean" not in {name for part in dataset.stats([EVENTS]) for name in part}


def test_no_dataset_of_v21(tmp_path: Path) -> None:
    root = annotated(tmp_path / "said", SAID)
    with pytest.raises(UsageError, match=r"language_persistent, language_events.*v2\.1") as error:
        convert(root, "v2.1", tmp_path / "older")
    assert f"lerobot-edit-dataset --repo_id local --root {root} --new_root NEW --op" in error.value.todo
    assert not (tmp_path / "older").exists()


def test_tools_are_kept_where_all_datasets_have_the_same(tmp_path: Path) -> None:
    roots = [annotated(tmp_path / name, SAID) for name in ("one", "two")]
    tools = [{"type": "function", "function": {"name": "say"}}]
    edit(roots[0], lambda info: info.update(tools=tools))
    report = aggregate(roots, tmp_path / "differing", on_duplicate="keep")
    assert "not in the output: tools of meta/info.json, which differ between the datasets" in report.notes
    assert "tools" not in json.loads((tmp_path / "differing/meta/info.json").read_text())
    edit(roots[1], lambda info: info.update(tools=tools))
    report = aggregate(roots, tmp_path / "alike", on_duplicate="keep")
    assert json.loads((tmp_path / "alike/meta/info.json").read_text())["tools"] == tools
    assert not any("tools" in note for note in report.notes)


def test_a_column_that_annotations_replaced(tmp_path: Path) -> None:
    root = annotated(tmp_path / "said", SAID)
    edit(root, lambda info: info["features"].update(subtask_index={"dtype": "int64", "shape": [1], "names": None}))
    assert [f for f in verify(root).findings if f.severity == "error"] == []
    report = aggregate([root], tmp_path / "merged")
    assert "not in the output: subtask_index, which annotations replaced" in " ".join(report.notes)
    assert "subtask_index" not in json.loads((tmp_path / "merged/meta/info.json").read_text())["features"]
    # Without annotations it is a column that is missing.
    edit(root, lambda info: [info["features"].pop(key) for key in (PERSISTENT, EVENTS)])
    assert any("subtask_index" in f.where and "is missing" in f.message for f in verify(root).findings)


def found(root: Path) -> list[tuple[str, str]]:
    return [(f.where, f.message) for f in verify(root).findings if f.check == "language"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (entry("x", "vqa", camera="observation.images.none"), "camera of style 'vqa' is 'observation.images.none'"),
        (entry("x", "trace"), "camera of style 'trace' is None instead of one of observation.images.top,"),
        (entry("x", "interjection", camera=FRONT), f"style 'interjection' is about no camera, but has '{FRONT}'"),
        (entry("x", "subtask"), "style 'subtask' belongs into language_persistent"),
        (entry("x", "vqa", camera=FRONT, role=""), "an entry has no role"),
    ],
)
def test_wrong_entries_are_found(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    root = annotated(tmp_path / "one", SAID | {7: [wrong]})
    ((where, message),) = found(root)
    assert where == "data/chunk-000/file-000.parquet, row 7"
    assert message.startswith(f"language_events: {said}")


def test_an_empty_entry_is_found(tmp_path: Path) -> None:
    root = annotated(tmp_path / "one", SAID)
    path = min(root.glob("data/*/*.parquet"))
    rows = pq.read_table(path)[EVENTS]
    change_events(path, pa.array([*rows.to_pylist()[:-1], [None]], rows.type))
    assert found(root) == [(f"data/chunk-000/{path.name}, row {len(rows) - 1}", f"{EVENTS}: an entry has no role")]


def test_styles_of_a_project_are_its_own(tmp_path: Path) -> None:
    assert found(annotated(tmp_path / "one", SAID | {7: [entry("x", "our_style")]})) == []


def test_persistent_entries_are_in_every_row(tmp_path: Path) -> None:
    root = annotated(tmp_path / "one", SAID)
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    rows = table[PERSISTENT].to_pylist()
    rows[5] = []
    at = table.column_names.index(PERSISTENT)
    pq.write_table(table.set_column(at, table.field(at), pa.array(rows, table.field(at).type)), path)
    text = "language_persistent: is not that of the row before, though both are of one episode"
    assert found(root) == [("data/chunk-000/file-000.parquet, row 5", f"{text} (2 such rows in this file)")]


def test_a_language_column_that_is_missing_in_the_rows(tmp_path: Path) -> None:
    root = annotated(tmp_path / "one", SAID)
    path = root / "data/chunk-000/file-001.parquet"
    pq.write_table(pq.read_table(path).drop_columns([EVENTS]), path)
    wheres = [f.where for f in verify(root).findings if f.check == "rows"]
    assert wheres == ["data/chunk-000/file-001.parquet, column language_events"]
    with pytest.raises(RobotroveError, match="column language_events: is missing"):
        aggregate([root], tmp_path / "merged")


def test_names_and_types_that_lerobot_does_not_know() -> None:
    kind = kind_of(Feature("language", (1,)))
    assert list(kind.problems("talk", {}, lambda: 10)) == [
        "is a language column, but LeRobot knows only language_persistent and language_events"
    ]
    assert list(kind.problems(EVENTS, {}, lambda: 10)) == []
    for strange, said in (
        (pa.string(), "is string instead of a list of entries"),
        (pa.list_(pa.struct([("role", pa.int64())])), "has entries with a role of type int64"),
        (pa.list_(pa.struct([("role", pa.string()), ("mood", pa.string())])), "has entries with mood; LeRobot knows"),
    ):
        problem = kind.type_problem(strange, may_wrap=False)
        assert problem is not None
        assert problem[1].startswith(said)


@pytest.mark.skipif(not hasattr(pa, "json_"), reason="pyarrow before 19 reads JSON as texts")
def test_calls_as_arrows_own_json() -> None:
    calls = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}', '{"b": 2}']))
    lists = pa.ListArray.from_arrays(pa.array([0, 2], pa.int32()), calls)
    entries = pa.StructArray.from_arrays([pa.array(["user"]), lists], ["role", "tool_calls"])
    column = pa.ListArray.from_arrays(pa.array([0, 1, 1], pa.int32()), entries)
    kind = kind_of(Feature("language", (1,)))
    assert kind.type_problem(column.type, may_wrap=False) is None
    merged = kind.merged(pa.table({EVENTS: column}), kind.arrow_field(EVENTS), {}, "here")
    for found in (column, merged):
        ((entry_,),) = kind.values(found, "here")[0]
        assert (entry_["role"], entry_["tool_calls"]) == ("user", [{"a": 1}, {"b": 2}])
    assert merged.to_pylist()[1] == []


def test_calls_that_no_json_can_hold() -> None:
    kind = kind_of(Feature("language", (1,)))
    table = pa.table({EVENTS: [[entry(None, None, tool_calls=[call(x=float("nan"))])]]})
    with pytest.raises(RobotroveError, match="here, column language_events: has a tool call that JSON cannot hold"):
        kind.merged(table, kind.arrow_field(EVENTS), {}, "here")
