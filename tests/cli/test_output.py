from __future__ import annotations

import json

import pytest

from robotrove.cli.display import Bar
from robotrove.cli.output import columns, cut, echo, echo_json, padded


@pytest.mark.parametrize(
    ("text", "width"), [("demo_0", 6), ("抓取", 4), ("ﾊﾝﾄﾞ", 4), ("cafe\u0301", 4), ("Ａ", 2), ("±", 1), ("", 0)]
)
def test_columns(text: str, width: int) -> None:
    assert columns(text) == width
    assert padded(text, 8) == text + " " * (8 - width)


def test_cut_texts_have_at_most_so_many_columns() -> None:
    assert [cut("demo_0.hdf5", width) for width in (11, 10, 1)] == ["demo_0.hdf5", "demo_0.hd…", "…"]
    assert [cut("抓取方块", width) for width in (8, 7, 6)] == ["抓取方块", "抓取方…", "抓取…"]


# Escape sequences of 7 and 8 bits, a bell, a return to the line's start, right-to-left override, a separator of lines.
HOSTILE = "a\x1b[2Jb\x9b2Jc\x07d\re\u202ef\u2028g\x7f"
ESCAPED = r"a\x1b[2Jb\x9b2Jc\x07d\re\u202ef\u2028g\x7f"


def test_control_characters_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    echo(f"{HOSTILE}\n\t é 漢 👩\u200d🔧")
    echo(HOSTILE, err=True)
    out, err = capsys.readouterr()
    assert out == f"{ESCAPED}\n\t é 漢 👩\u200d🔧\n"
    assert err == f"{ESCAPED}\n"


def test_json_with_control_characters_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    echo_json({"name": HOSTILE, "other": "é"})
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": HOSTILE, "other": "é"}
    assert all(" " <= letter <= "~" or letter == "\n" for letter in out)
    echo_json({"name": "é"})
    assert capsys.readouterr().out == '{\n  "name": "é"\n}\n'


def test_progress_shows_names_as_they_are(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Rich takes [/] for the end of a style and ends the program, and [red] for a colour."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with Bar("reading [/]") as bar:
        bar.show(1, 2, note="[red]\x1b[2J.hdf5")
    shown = capsys.readouterr().err
    assert "reading [/]" in shown
    assert r"[red]\x1b[2J.hdf5" in shown
