from __future__ import annotations

import pytest

from robotrove.cli.output import columns, cut, padded


@pytest.mark.parametrize(
    ("text", "width"), [("demo_0", 6), ("抓取", 4), ("ﾊﾝﾄﾞ", 4), ("cafe\u0301", 4), ("Ａ", 2), ("±", 1), ("", 0)]
)
def test_columns(text: str, width: int) -> None:
    assert columns(text) == width
    assert padded(text, 8) == text + " " * (8 - width)


def test_cut_texts_have_at_most_so_many_columns() -> None:
    assert [cut("demo_0.hdf5", width) for width in (11, 10, 1)] == ["demo_0.hdf5", "demo_0.hd…", "…"]
    assert [cut("抓取方块", width) for width in (8, 7, 6)] == ["抓取方块", "抓取方…", "抓取…"]
