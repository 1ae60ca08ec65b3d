"""No two places of the package word the same error: one function for each, or texts that say the difference."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher

from robotrove.tests.support.places import MODULES, ROOT
from robotrove.tests.test_words import docstrings

LETTERS = 14  # of the shortest text that counts
ALIKE = 0.9

# Arguments that do not say what was found: expectations, what to do, help, by name or from a position on; and places.
NAMED = {"expected", "todo", "see", "help", "description"}
FREE_FROM = {"UsageError": 2, "RobotroveError": 2, "DatasetDamaged": 3, "wrong": 2}
PLACES = {"UsageError": 0, "RobotroveError": 0, "Damaged": 0, "DatasetDamaged": 1, "reading": 0}
COMMANDS = re.compile(r"(next|check): |`?robotrove |rerun ")  # what to do, where no argument says so
TABLE = "core/rejections.py"  # a sentence and a remedy for each reason; remedies repeat

# Pairs that are alike, and why they are two.
TWO_ERRORS = {
    ("frame 0 is not a keyframe", "frame {} is not a keyframe"): "of a file; of a clip in it",
    ("{} cannot be opened: {}", "{} cannot be copied: {}"): "an HDF5 file; a clip",
    ("is {} instead of an object", "info is {} instead of an object"): "modality.json; info.json",
    ("found {}, expected one of {}", "found {}{}, expected one of {}"): "no mapping; an unknown name, with the nearest",
    (
        "{}[{}] is {}, but the rows give {}",
        "{}[{}] is {}, but the rows give {} to {}",
    ): "a value; a quantile, which definitions give differently",
    ("reads text documents, not episodes", "writes text documents, not episodes"): "two kinds of blocks of datatrove",
    ("reads text documents, not episodes", "measures text documents, not episodes"): "two kinds of blocks of datatrove",
    ("statistics of no rows are not defined", "statistics of no parts are not defined"): "of values; of statistics",
    ("statistics of no parts are not defined", "statistics of no pixels are not defined"): "of statistics; of pictures",
    (
        "tasks is {} instead of a list of texts",
        "column tasks is {} instead of a list of texts",
    ): "a value in episodes.jsonl; a type in meta/episodes",
    (
        "fps is {} instead of a positive whole number",
        "length is {} instead of a positive whole number",
    ): "a key of info.json; one of an episode",
    (
        "original_key is {}, which is {} and no video",
        "original_key is {}, which is {} and no vector",
    ): "a camera; joints",
    (
        "original_key is {}, which is {} and no video",
        "original_key is {}, which is {} and no video; {}",
    ): "for all releases of GR00T; for one, with the fix",
    (
        "original_key is {}, which is {} and no vector",
        "original_key is {}, which is {} and no video; {}",
    ): "joints; a camera",
    (
        "created by robotrove {}, this is robotrove {}",
        "was created by robotrove {}, but this is robotrove {}",
    ): "a line of the status; an error",
    (
        "is more like the source's frame after its own",
        "is more like the source's frame before its own",
    ): "late; early",
    (
        "{}/obs has no joint_pos, nor left_joint_pos and right_joint_pos; map observation.state under `columns:`",
        "{}/obs has no joint_pos, robot_joint_pos or left_joint_pos and right_joint_pos; "
        "map observation.state under `columns:`",
    ): "the robots of LeIsaac; those of Isaac Lab",
}


def name_of(call: ast.Call) -> str:
    """Return the last part of the name of what is called."""
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def free_slots(call: ast.Call) -> Iterator[ast.expr]:
    """Yield the arguments of a call that may repeat."""
    name = name_of(call)
    for at, value in enumerate(call.args):
        if at >= FREE_FROM.get(name, len(call.args)) or at == PLACES.get(name):
            yield value
    yield from (keyword.value for keyword in call.keywords if keyword.arg in NAMED)


def template(node: ast.AST) -> str:
    """Return a text with {} for each value; empty for what is no text."""
    if isinstance(node, ast.JoinedStr):
        parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
        return " ".join("".join(parts).split())
    return " ".join(node.value.split()) if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def templates(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the places of each text that says what was found, by its template."""
    found: dict[str, list[str]] = defaultdict(list)
    for path, source in sources.items():
        tree = ast.parse(source)
        nodes = list(ast.walk(tree))
        outer: list[ast.AST] = [node for node in nodes if isinstance(node, ast.JoinedStr)]
        free: list[ast.AST] = [slot for node in nodes if isinstance(node, ast.Call) for slot in free_slots(node)]
        apart = {id(node) for node in docstrings(tree)} | {id(part) for node in free for part in ast.walk(node)}
        apart |= {id(part) for node in outer for part in ast.walk(node) if part is not node}
        for node in nodes:
            text = template(node)
            is_long = len(re.sub(r"[^A-Za-z]", "", text)) >= LETTERS and " " in text
            if is_long and id(node) not in apart and not COMMANDS.match(text):
                found[text].append(f"{path}:{node.lineno}")  # type: ignore[attr-defined]
    return found


def repeated(found: Mapping[str, list[str]]) -> list[str]:
    """Return each template of two places or more, with these."""
    return [f"{text!r}: {', '.join(places)}" for text, places in found.items() if len(places) > 1]


def alike(found: Mapping[str, list[str]]) -> Iterator[frozenset[str]]:
    """Yield the pairs of templates that differ in few letters."""
    matcher = SequenceMatcher()
    ordered = sorted(found, key=len)
    for at, text in enumerate(ordered):
        matcher.set_seq2(text)
        for other in ordered[at + 1 :]:
            if 2 * len(text) <= ALIKE * (len(text) + len(other)):  # the longest common part is the shorter one
                break
            matcher.set_seq1(other)
            if matcher.quick_ratio() > ALIKE and matcher.ratio() > ALIKE:
                yield frozenset((text, other))


SOURCES = {str(path): (ROOT / path).read_text("utf-8") for path in MODULES if path.parts[0] != "testing"}
FOUND = templates({path: source for path, source in SOURCES.items() if path != TABLE})


def test_an_error_in_two_places_is_found_by_its_template() -> None:
    one = '"""Is not a count of it."""\n\nraise Damaged("the place in a file", f"{x!r} is not a count of it")\n'
    two = 'told = f"{y} is not a " "count of it"\nraise UsageError(y, told, "a count that is right")\n'
    found = templates({"one.py": one, "two.py": two, "three.py": two.replace("not a", "not the")})
    assert repeated(found) == ["'{} is not a count of it': one.py:3, two.py:1"]
    assert list(alike(found)) == [frozenset(("{} is not a count of it", "{} is not the count of it"))]


def test_only_what_was_found_counts() -> None:
    error = (
        'raise UsageError("the place in a file", "what was found there", "a folder that exists", todo="choose another")'
    )
    assert templates({"one.py": f'{error}\necho("next: robotrove plan it")'}) == {"what was found there": ["one.py:1"]}


def test_no_two_places_word_the_same_error() -> None:
    assert len(FOUND) > 500
    assert repeated(FOUND) == []


def test_errors_that_are_alike_are_two_errors() -> None:
    assert set(alike(FOUND)) == set(map(frozenset, TWO_ERRORS))
