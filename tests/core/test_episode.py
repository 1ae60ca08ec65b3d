from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robotrove.blocks.episode_step import EpisodeFilter, EpisodeMap
from robotrove.core.columns import ArrayColumn, Column, ConcatColumn, ConstantColumn, MappedColumn, RowMap
from robotrove.core.episode import Episode, EpisodeOrigin, Rejection
from robotrove.core.errors import EpisodeRejected, RobotroveError, in_utf8
from robotrove.core.features import Feature, difference


def _episode() -> Episode:
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    column = ArrayColumn(Feature("float32", (2,), ("a", "b")), rows)
    return Episode(id="a.hdf5:demo_0", text="pick", length=6, fps=30, columns={"action": column})


def test_columns_are_read_by_name() -> None:
    ep = _episode()
    np.testing.assert_array_equal(ep["action"][2], [4, 5])
    assert [len(batch) for batch in ep.frames("action")] == [6]
    assert ep.features == {"action": Feature("float32", (2,), ("a", "b"))}


def test_a_column_that_is_not_there_is_a_rejection_with_the_nearest() -> None:
    with pytest.raises(EpisodeRejected, match="did you mean 'action'"):
        _episode()["actions"]


@pytest.mark.parametrize("use", [lambda ep: ep["action"], lambda ep: list(ep.frames("action"))])
def test_used_after_its_turn_it_says_so(use: Callable[[Episode], object]) -> None:
    ep = _episode()
    ep.close()
    with pytest.raises(RobotroveError) as caught:
        use(ep)
    assert not isinstance(caught.value, EpisodeRejected), "it is the block's mistake, not the data's"
    text = str(caught.value)
    for words in ("a.hdf5:demo_0", "'action'", "after the reader moved on", "only while it is the current item"):
        assert words in text


def test_columns_over_columns_keep_rows_aligned() -> None:
    base = ArrayColumn(Feature("int64", (1,)), np.arange(10)[:, None])
    mapped = MappedColumn(base, base.feature, lambda batch: batch * 2)
    cut = mapped.take(np.arange(3, 8))
    assert cut.length == 5
    np.testing.assert_array_equal(cut.read().ravel(), [6, 8, 10, 12, 14])
    np.testing.assert_array_equal(cut.read(1, 3).ravel(), [8, 10])
    both = ConcatColumn([cut, base.take(np.arange(5))], Feature("int64", (2,)))
    np.testing.assert_array_equal(both.read(), [[6, 0], [8, 1], [10, 2], [12, 3], [14, 4]])
    np.testing.assert_array_equal(both.read(4, 5), [[14, 4]])
    np.testing.assert_array_equal(both.take(np.array([4, 0])).read(), [[14, 4], [6, 0]])


class Counted(Column):
    """A column of storage: its rows are their numbers, and it says how many it held at a time."""

    def __init__(self, length: int, shape: tuple[int, ...] = (1,)) -> None:
        super().__init__(Feature("int64", shape), length)
        self.most = 0

    def batches(self, start: int, stop: int) -> Iterator[np.ndarray]:
        self.most = max(self.most, stop - start)
        for first in range(start, stop, 4):
            rows = np.arange(first, min(first + 4, stop)).reshape(-1, *[1] * len(self.feature.shape))
            yield np.broadcast_to(rows, (len(rows), *self.feature.shape))


ROWS: list[list[int]] = [
    [],
    [7],
    [0, 1, 2, 3],
    [3, 2, 1, 0],
    [0, 2, 4, 6, 8, 10],
    [9, 6, 3, 0],
    [5, 5, 5],
    [0, 1, 2, 10, 11, 12, 4, 4, 4, 2, 0],
    [*range(0, 100, 2), *range(99, 0, -3), 50, 50, 51],
]


@pytest.mark.parametrize("rows", ROWS)
def test_a_row_map_holds_any_rows_in_order(rows: list[int]) -> None:
    row_map = RowMap.of(np.array(rows, np.int64))
    assert row_map.rows.tolist() == rows
    assert len(row_map) == len(rows)
    assert [row_map[index] for index in range(len(rows))] == rows
    assert row_map == RowMap.of(row_map.rows), "equal rows have equal runs"
    if rows:
        assert (row_map.first, row_map.last) == (min(rows), max(rows))
        assert row_map.is_span == (rows == list(range(rows[0], rows[0] + len(rows))))
    with pytest.raises(IndexError):
        row_map[len(rows)]


@given(st.lists(st.integers(0, 30), max_size=40))
def test_a_row_map_of_random_rows(rows: list[int]) -> None:
    row_map = RowMap.of(np.array(rows, np.int64))
    assert row_map.rows.tolist() == rows
    assert row_map == RowMap.of(row_map.rows)


def test_a_row_map_is_short_and_reads_well() -> None:
    assert RowMap.of(np.arange(3, 1000)).runs == ((3, 997, 1),)
    assert RowMap.of(np.arange(0, 1000, 2)).runs == ((0, 500, 2),)
    assert RowMap.of(np.array([0, 1, 2, 10, 11, 12])).runs == ((0, 3, 1), (10, 3, 1))
    assert str(RowMap.of(np.arange(3, 9))) == "3..8"
    assert str(RowMap.of(np.array([0, 2, 4, 9, 5, 5, 5]))) == "0..4 by 2, 9, 5 x 3"
    assert str(RowMap.of(np.array([9, 7, 5]))) == "9..5 by -2"
    assert str(RowMap.of(np.array([0, 9, 1, 8, 2, 7, 3, 6, 4, 5]))).endswith("5 more runs")


@pytest.mark.parametrize("rows", ROWS)
def test_rows_taken_from_storage_are_those_rows_in_that_order(rows: list[int]) -> None:
    taken = Counted(100).take(np.array(rows, np.int64))
    assert taken.length == len(rows)
    assert taken.read().ravel().tolist() == rows
    assert taken.read(1, len(rows) - 1).ravel().tolist() == rows[1:-1]
    again = taken.take(np.arange(len(rows))[::-2])
    assert again.read().ravel().tolist() == rows[::-2]


@pytest.mark.parametrize("step", [-1, 2, 7, -50, 0])
def test_rows_in_any_order_are_read_in_bounded_memory(step: int) -> None:
    frame = (480, 640, 3)
    base = Counted(10_000, frame)
    count = 60
    rows = (9_999 if step < 0 else 0) + step * np.arange(count)
    found = []
    for batch in base.take(rows).batches(0, count):
        assert batch.nbytes <= 8 * (1 << 20)
        found += batch[:, 0, 0, 0].tolist()
    assert found == rows.tolist()
    assert base.most <= 1 + abs(step)


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        ([0, 6], IndexError, "row 6 to take is not within 0 and 5"),
        ([-1], IndexError, "row -1"),
        ([True, False], TypeError, "np.flatnonzero makes them from a mask"),
        ([0.5], TypeError, "float64"),
        ([[0], [1]], TypeError, r"shape \(2, 1\)"),
    ],
)
def test_rows_that_cannot_be_taken(rows: list[object], error: type[Exception], words: str) -> None:
    for taker in (_episode(), _episode().columns["action"]):
        with pytest.raises(error, match=words):
            taker.take(np.array(rows))


def test_take_drops_repeats_and_reorders_every_column() -> None:
    ep = _episode().with_column("index", ArrayColumn(Feature("int64", (1,)), np.arange(6)[:, None]))
    taken = ep.take(np.array([5, 3, 3, 0]))
    assert (taken.length, taken.id, taken.text, taken.fps) == (4, ep.id, ep.text, ep.fps)
    assert taken["index"].ravel().tolist() == [5, 3, 3, 0]
    assert taken["action"][:, 1].tolist() == [11, 7, 7, 1]
    assert taken.row_map.rows.tolist() == [5, 3, 3, 0]
    assert taken.take(np.array([1, 0])).row_map.rows.tolist() == [3, 5]
    assert (ep.length, ep["index"].ravel().tolist()) == (6, [0, 1, 2, 3, 4, 5]), "the episode itself is unchanged"
    with pytest.raises(EpisodeRejected, match="none of them is taken") as caught:
        ep.take(np.zeros(0, np.int64))
    assert caught.value.reason == "nothing_left"


def test_the_last_frame_is_that_of_the_rows_taken() -> None:
    label = ConstantColumn(Feature("bool", (1,)), 6, False, True)
    ep = _episode().with_column("done", label).map_column("done", np.logical_not)
    for rows in ([0, 2, 4], [5, 0], [3, 3], list(range(6))):
        assert ep.take(np.array(rows))["done"].ravel().tolist() == [*[True] * (len(rows) - 1), False], rows


def test_columns_are_added_replaced_dropped_and_mapped() -> None:
    ep = _episode()
    column = ArrayColumn(Feature("int64", (1,)), np.arange(6)[:, None])
    assert list(ep.with_column("b", column).with_column("action", column).columns) == ["action", "b"]
    assert list(ep.with_column("b", column).without_column("action").columns) == ["b"]
    doubled = ep.map_column("action", lambda batch: batch[:, :1] * 2, Feature("float32", (1,), ("a",)))
    assert doubled["action"].ravel().tolist() == [0, 4, 8, 12, 16, 20]
    assert doubled.features == {"action": Feature("float32", (1,), ("a",))}
    assert doubled.with_facts(fps=15, success=True).fps == 15
    with pytest.raises(ValueError, match="'b' has 3 rows, expected 6"):
        ep.with_column("b", column.take(np.arange(3)))
    with pytest.raises(EpisodeRejected, match="has no column 'acton'"):
        ep.without_column("acton")
    with pytest.raises(RobotroveError, match=r"column action of episode a.hdf5:demo_0: .* float32 \(6, 1\)"):
        ep.map_column("action", lambda batch: batch[:, :1])["action"]
    with pytest.raises(RobotroveError, match=r"(?s)returned float64 .*expected: int64"):
        ep.with_column("b", column).map_column("b", lambda batch: batch * 0.5)["b"]
    for fps in (0, 12.5):
        with pytest.raises(ValueError, match="expected a whole number"):
            ep.with_facts(fps=fps)  # type: ignore[arg-type]


def test_arrays_become_columns() -> None:
    ep = (
        _episode().with_column("speed", np.arange(6, dtype=np.float32)).with_column("note", np.array(["a"] * 6, object))
    )
    assert ep.features["speed"] == Feature("float32", (1,))
    assert ep.features["note"] == Feature("string", (1,))
    assert ep.take(np.array([5, 1]))["speed"].tolist() == [[5], [1]]
    assert ep["note"].tolist() == [["a"]] * 6
    with pytest.raises(ValueError, match="'speed' has 5 rows"):
        _episode().with_column("speed", np.zeros(5))


@pytest.mark.parametrize("result", [None, True, "episode"])
def test_a_block_that_does_not_return_the_episode_is_named(result: object) -> None:
    class Forgets(EpisodeMap):
        name = "forgets"

        def apply(self, ep: Episode) -> Episode:
            return result  # type: ignore[return-value]

    why = Forgets().visit(_episode()).rejection
    assert why is not None
    assert why.detail.startswith(f"block forgets: TypeError: {type(result).__name__} came back, expected the episode")


def test_a_filter_that_returns_no_reason_is_named() -> None:
    class Truth(EpisodeFilter):
        name = "truth"

        def reject(self, ep: Episode) -> str | None:
            return ep.length > 3  # type: ignore[return-value]

    why = Truth().visit(_episode()).rejection
    assert why is not None
    assert "block truth: TypeError: reject returned True, expected a reason or None" in why.detail


def test_frames_are_mapped_in_their_new_size() -> None:
    frames = np.arange(6 * 4 * 4 * 3, dtype=np.uint8).reshape(6, 4, 4, 3)
    ep = _episode().with_column("observation.images.top", ArrayColumn(Feature("video", (4, 4, 3)), frames))
    small = ep.map_frames("observation.images.top", lambda batch: batch[:, ::2, ::4], height=2, width=1)
    assert small.features["observation.images.top"] == Feature("video", (2, 1, 3))
    np.testing.assert_array_equal(np.concatenate(list(small.frames("observation.images.top"))), frames[:, ::2, ::4])
    with pytest.raises(EpisodeRejected, match="has no camera 'action'"):
        ep.map_frames("action", np.flip)


def _assign_columns(ep: Episode) -> None:
    ep.columns = {}  # type: ignore[misc, assignment]


def _assign_a_column(ep: Episode) -> None:
    ep.columns["action"] = ep.columns["action"]  # type: ignore[index]


def _assign_length(ep: Episode) -> None:
    ep.length = 3  # type: ignore[misc]


def _assign_rows(ep: Episode) -> None:
    ep.rows = (1, 3)  # type: ignore[attr-defined]


@pytest.mark.parametrize("change", [_assign_columns, _assign_a_column, _assign_length, _assign_rows])
def test_a_block_that_assigns_is_told_the_method(change: Callable[[Episode], None]) -> None:
    class Old(EpisodeMap):
        name = "old"

        def apply(self, ep: Episode) -> Episode:
            change(ep)
            return ep

    why = Old().visit(_episode()).rejection
    assert why is not None
    assert why.detail.startswith("block old: ")
    assert "is read-only; use ep = ep.take(rows)" in why.detail
    with pytest.raises(AttributeError, match=r"ep\.reject"):
        _episode().rejection = None  # type: ignore[misc]
    with pytest.raises(AttributeError, match=r"ep\.with_column"):
        _episode().columns.update({})  # type: ignore[call-arg]


@pytest.mark.parametrize("use", [lambda ep: ep["action"], lambda ep: list(ep.frames("action"))])
def test_an_episode_made_from_another_is_valid_as_long_and_keeps_guard_and_rejection(
    use: Callable[[Episode], object],
) -> None:
    def gone() -> None:
        raise EpisodeRejected("source_changed", "it is another file now")

    ep = _episode().planned(EpisodeOrigin("a.hdf5", "demo_0", 4), gone)
    ep.reject("too_short", "2 frames", error=False)
    made = ep.take(np.array([0, 2])).map_column("action", np.negative).with_facts(fps=10)
    assert made.rejection == ep.rejection
    assert made.origin.row == 4
    with pytest.raises(EpisodeRejected, match="another file"):
        made.check_source()
    use(made)
    ep.close()
    with pytest.raises(RobotroveError, match="after the reader moved on"):
        use(made)


def test_names_of_any_bytes_can_be_written_down() -> None:
    odd = b"demo_\xff".decode(errors="surrogateescape")
    assert in_utf8(odd).encode() == b"demo_\\udcff"
    assert in_utf8("größe 日本") == "größe 日本"
    assert Rejection.of(EpisodeRejected("bad", odd)).detail == "demo_\\udcff"


def test_difference_of_features_in_words() -> None:
    left = {"a": Feature("float32", (2,), ("x", "y")), "b": Feature("int64", (1,)), "c": Feature("bool", (1,))}
    right = {"a": Feature("float32", (2,), ("y", "x")), "b": Feature("int64", (3,)), "d": Feature("bool", (1,))}
    text = difference(left, right)
    assert "a has other names: ('y', 'x') instead of ('x', 'y')" in text
    assert "b is int64[3] instead of int64[1]" in text
    assert "c missing" in text
    assert "d unexpected" in text
    assert difference(left, dict(reversed(left.items()))) == ""


def test_a_function_that_changes_its_batch_in_place_is_an_error() -> None:
    def double(batch: np.ndarray) -> np.ndarray:
        batch *= 2
        return batch

    ep = _episode().map_column("action", double)
    with pytest.raises(RobotroveError, match=r"column action of episode a\.hdf5:demo_0: ValueError: .*read-only"):
        ep["action"]
    with pytest.raises(ValueError, match="read-only"):
        _episode()["action"][:] = 7


def test_reasons_are_safe_to_print() -> None:
    ep = _episode()
    ep.reject("bad", "why\n\x1b[31mred", error=True)
    assert ep.rejection == Rejection("bad", "why\\n\\x1b[31mred", error=True)


@pytest.mark.parametrize("text", [5, None, "\ud800"])
def test_a_block_that_sets_something_else_than_a_text_is_named(text: object) -> None:
    class Relabels(EpisodeMap):
        name = "relabels"

        def apply(self, ep: Episode) -> Episode:
            ep.text = text  # type: ignore[assignment]
            return ep

    why = Relabels().visit(_episode()).rejection
    assert why is not None
    assert why.detail.startswith("block relabels: TypeError: text is ")
