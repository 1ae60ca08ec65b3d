"""The card shows texts of a dataset as they are: nothing in them is live."""

from __future__ import annotations

import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from robotrove.hub.card import CardFacts, card, code_span

HOSTILE = [
    "[click](https://evil.example/x)",
    "![pixel](https://evil.example/p.png)",
    "see https://evil.example and www.evil.example, mail a@evil.example",
    "<https://evil.example> <img src=https://evil.example/p.png> <script>alert(1)</script>",
    "`` ` [x](https://evil.example) ` ``",
    "`[x](https://evil.example)",
    "[x](https://evil.example)`",
    "``` [x](https://evil.example)",
    "a \\| b | [x](https://evil.example) | c",
    "a\\\\| [x](https://evil.example)",
    "ends with \\",
    "[x]: https://evil.example",
    "@someone #1 :smile: $x$ **bold** ~~gone~~ &lt; &#91;",
    "# no heading\n\n- no list\n\n---\n\n    [x](https://evil.example)",
    "-->\n<!-- hidden",
    "",
]
# Backslashes before a pipe are doubled there: readers of Markdown differ in what they make of an even number.
IN_TABLES = {
    "a \\| b | [x](https://evil.example) | c": "a \\\\| b | [x](https://evil.example) | c",
    "a\\\\| [x](https://evil.example)": "a\\\\\\\\| [x](https://evil.example)",
}


def facts(text: str) -> CardFacts:
    return CardFacts(
        repo_id="lab/cubes",
        version="v3.0",
        branch="main",
        license={"license": "other", "license_name": text},
        robot=text,
        fps=30.0,
        episodes=1,
        frames=2,
        tasks=[text, "put the cube, please"],
        cameras={text: ("48×64", text)},
        features={text: ("float32[2]", text)},
        made=[f"- {code_span(text)}: 1 episodes"],
        is_verified=True,
    )


def tokens(markdown: str) -> list[Token]:
    """Return the tokens of a card's body as CommonMark with tables has them, in order."""
    parsed = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)
    return [inner for token in parsed for inner in (token.children if token.type == "inline" else [token]) or []]


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_of_a_dataset_are_inert(text: str) -> None:
    _, front, body = card(facts(text)).split("---\n", 2)
    found = tokens(body)
    links = [str(token.attrs["href"]) for token in found if token.type == "link_open"]
    assert links == ["https://huggingface.co/spaces/lerobot/visualize_dataset?path=lab%2Fcubes"]
    kinds = {token.type for token in found}
    assert not kinds & {"image", "html_inline", "strong_open", "s_open", "hr", "code_block"}
    assert [token.content.strip()[:30] for token in found if token.type == "html_block"] == [
        "<!-- robotrove writes this car"
    ]
    # Text that is not code is all ours: a reader with links of its own making (www., @name) finds none.
    loose = " ".join(token.content for token in found if token.type == "text")
    assert not any(sign in loose for sign in ("://", "www.", "@", "evil", "[", "]", "`", "<"))
    # A pipe ends no cell, and each of the 8 places has all of the text in one piece of code.
    assert [token.type for token in found].count("td_open") == 3 * 2 + 1 * 3
    shown = " ".join(text.split()) or " "
    in_tables = IN_TABLES.get(text, shown)
    codes = [token.content for token in found if token.type == "code_inline"]
    assert codes.count(shown) + (codes.count(in_tables) if in_tables != shown else 0) == (8 if text else 5)
    head = yaml.safe_load(front)
    assert (head["license_name"], head["tags"]) == (text, ["LeRobot", "robotrove", *([text] if text else [])])


def test_control_characters_are_escapes() -> None:
    assert code_span("a\x1b[31m\u202eb\x00") == "`a\\x1b[31m\\u202eb\\x00`"


def test_plain_texts_stay_as_they_are() -> None:
    body = card(facts("pick up the red cube (1)"))
    assert "- `pick up the red cube (1)`" in body
    assert "| `pick up the red cube (1)` | `float32[2]` | `pick up the red cube (1)` |" in body
    assert "cube (1)` (48×64, `pick" in body
