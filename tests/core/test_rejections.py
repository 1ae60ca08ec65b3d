"""Table of rejection reasons: complete, used, and the same in the documentation."""

from __future__ import annotations

import ast
import re

from robotrove.core.rejections import REASONS, counted_reason, reason_lines
from robotrove.tests.support.places import MODULES, ROOT

PAGE = ROOT / "docs/rejections.md"
RAISERS = {"EpisodeRejected", "Rejection", "RejectedEpisode", "reject", "_Gap"}  # a gap among stored rows becomes one


def given() -> set[str]:
    """Return the literal reasons in the code: those of exceptions and rejections, and "reason: sentence" of filters."""
    found: set[str] = set()
    for module in (path for path in MODULES if path.parts[0] != "testing"):
        tree = ast.parse((ROOT / module).read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in RAISERS:
                found |= {
                    one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)
                }
            elif isinstance(node, ast.FunctionDef) and node.name == "reject":
                texts = [str(one.value) for one in ast.walk(node) if isinstance(one, ast.Constant)]
                found |= {begin[1] for text in texts if (begin := re.match(r"([a-z0-9_]+): ", text))}
    return {name for name in found if re.fullmatch(r"[a-z0-9_]+", name)}


def test_every_reason_in_the_code_is_in_the_table_and_the_other_way_round() -> None:
    indirect = {"already_in_dataset"}  # a constant of its own
    assert given() - REASONS.keys() == set()
    assert REASONS.keys() - given() == indirect


def test_the_page_has_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert rows == [(one.name, one.sentence, one.remedy) for one in REASONS.values()]


def test_texts_are_short_enough_for_a_terminal() -> None:
    assert max(len(f"      10000 {one.name}: {one.sentence}") for one in REASONS.values()) <= 80


def test_a_reason_of_somebody_else_stands_alone() -> None:
    assert counted_reason("too_short", 2) == "2 too_short: fewer frames than min_length"
    assert counted_reason("wrong_light", 3) == "3 wrong_light"


def test_reasons_come_with_their_remedy() -> None:
    assert reason_lines({"wrong_light": 3, "not_hdf5": 1}) == [
        "1 not_hdf5: the file is not HDF5",
        "  to do: remove it from source.files",
        "3 wrong_light",
    ]
