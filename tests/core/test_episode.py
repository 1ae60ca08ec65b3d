from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from robotrove.core.columns import ArrayColumn, ConcatColumn, MappedColumn, SlicedColumn
from robotrove.core.episode import Episode, Rejection
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
    for words in ("a.hdf5:demo_0", "'action'", "after the reader had moved on", "only while it is the current item"):
        assert words in text


def test_columns_over_columns_keep_rows_aligned() -> None:
    base = ArrayColumn(Feature("int64", (1,)), np.arange(10)[:, None])
    seen: list[int] = []

    def double(batch: np.ndarray, first: int) -> np.ndarray:
        seen.append(first)
        return batch * 2

    mapped = MappedColumn(base, base.feature, double)
    cut = SlicedColumn(mapped, 3, 8)
    assert cut.length == 5
    np.testing.assert_array_equal(cut.read().ravel(), [6, 8, 10, 12, 14])
    np.testing.assert_array_equal(cut.read(1, 3).ravel(), [8, 10])
    assert seen == [3, 4]
    both = ConcatColumn([cut, SlicedColumn(base, 0, 5)], Feature("int64", (2,)))
    np.testing.assert_array_equal(both.read(), [[6, 0], [8, 1], [10, 2], [12, 3], [14, 4]])
    np.testing.assert_array_equal(both.read(4, 5), [[14, 4]])


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
