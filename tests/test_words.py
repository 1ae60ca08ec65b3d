"""Texts that people read use the words of words.txt: pages, help, the schema, messages, docstrings and comments."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from robotrove.cli import COMMANDS, _root
from robotrove.pipelines.spec.json_schema import json_schema
from robotrove.tests.support.places import MODULES, ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHIPPED = sorted([*ROOT.glob("pipelines/shipped/*.yaml"), *ROOT.glob("manifests/robots/*.yaml")])
FOLDERS = sorted({module.parts[0] for module in MODULES})
VERBS = {
    "Cancel",
    "Check",
    "Convert",
    "Edit",
    "Merge",
    "Print",
    "Push",
    "Recognise",
    "Recompute",
    "Repack",
    "Run",
    "Show",
    "Split",
    "Write",
}
CLAUSE = re.compile(
    r"(what|which|where|who|whose|whom|when|why|how|whether|whatever|whoever|whichever)\b", re.IGNORECASE
)
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Rule:
    """A pattern of words.txt, and what to say instead, or why it is allowed."""

    pattern: re.Pattern[str]
    note: str


@dataclass(frozen=True)
class Text:
    """Words that somebody reads, and the place of their first line."""

    where: str
    line: int
    words: str


def sections(text: str) -> dict[str, list[Rule]]:
    """Return the rules of words.txt by section; exceptions are the section "allow"."""
    found: dict[str, list[Rule]] = {"allow": []}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            pattern, note = line.removeprefix("allow ").split("\t")
            spaced = pattern.replace(" ", r"\s+")
            rule = Rule(re.compile(rf"(?<!\w)(?:{spaced})(?!\w)", re.IGNORECASE), note)
            found.setdefault("allow" if line.startswith("allow ") else section, []).append(rule)
    return found


RULES = sections((ROOT / "words.txt").read_text("utf-8"))


def blanked(pattern: re.Pattern[str], words: str) -> str:
    """Return the words without what the pattern matches, with all line breaks."""
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), words)


def faults(text: Text, *names: str) -> list[str]:
    """Return each use of a word that the sections of words.txt replace: place, words, what to say."""
    found: list[str] = []
    words = text.words
    for rule in RULES["allow"]:
        words = blanked(rule.pattern, words)
    for rule in [rule for name in names for rule in RULES[name]]:
        for match in rule.pattern.finditer(words):
            line = text.line + words.count("\n", 0, match.start())
            found.append(f"{text.where}:{line}: '{' '.join(match[0].split())}', say: {rule.note}")
    return found


def prose(page: str) -> str:
    """Return a page of Markdown without its code and the targets of its links."""
    code = re.compile(r"^```.*?^```|`[^`\n]+`|(?<=\])\([^)\s]+\)", re.MULTILINE | re.DOTALL)
    return blanked(code, page)


def commands() -> dict[str, click.Command]:
    """Return every command by the words that call it, `robotrove` aside; a group's own commands too."""
    context = click.Context(_root)
    found = {name: _root.get_command(context, name) for name in COMMANDS}
    groups = {name: command for name, command in found.items() if isinstance(command, click.Group)}
    inner = {f"{name} {sub}": command for name, group in groups.items() for sub, command in group.commands.items()}
    return {name: command for name, command in {**found, **inner}.items() if command is not None}


HELPS = commands()


def descriptions(schema: Any) -> Iterator[str]:
    """Yield the descriptions of a JSON Schema."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get("description"), str):
            yield schema["description"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from descriptions(part)


def docstrings(tree: ast.Module) -> list[ast.Constant]:
    """Return the docstrings of a module, its classes and its functions."""
    owners = [node for node in ast.walk(tree) if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None]
    return [node.body[0].value for node in owners]  # type: ignore[attr-defined,misc]


def messages(where: str, source: str) -> Iterator[Text]:
    """Yield every string of a module that is neither docstring nor name; values in an f-string are "…"."""
    tree = ast.parse(source)
    joined = [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    apart = {id(part) for node in joined for part in node.values} | {id(node) for node in docstrings(tree)}
    for node in (node for node in ast.walk(tree) if id(node) not in apart):
        if isinstance(node, ast.JoinedStr):
            parts = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values]
            yield Text(where, node.lineno, "".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not node.value.isidentifier():
            yield Text(where, node.lineno, node.value)


def remarks(where: str, source: str) -> Iterator[Text]:
    """Yield every docstring and every comment of a module."""
    yield from (Text(where, node.lineno, str(node.value)) for node in docstrings(ast.parse(source)))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Text(where, token.start[0], token.string)


def modules(folder: str) -> list[tuple[str, str]]:
    """Return path and source of every module of a top-level folder."""
    return [(str(path), (ROOT / path).read_text("utf-8")) for path in MODULES if path.parts[0] == folder]


def test_a_word_is_found_with_its_line_and_what_to_say() -> None:
    text = Text("page.md", 3, "Rerun it.\nThe file is\ngone; `gone` is a name.")
    assert faults(text, "texts") == ["page.md:5: 'gone', say: missing, removed"] * 2
    assert faults(Text("page.md", 1, prose(text.words)), "texts") == ["page.md:3: 'gone', say: missing, removed"]


def test_messages_are_all_strings_but_docstrings_and_names() -> None:
    source = '"""Gone."""\nraise E(f"{a} is " f"gone: {b!r}", "no"\n  " file", key="gone")  # gone\n'
    assert [(text.line, text.words) for text in messages("m.py", source)] == [(2, "… is gone: …"), (2, "no file")]
    assert [(text.line, text.words) for text in remarks("m.py", source)] == [(1, "Gone."), (3, "# gone")]


def test_no_rule_is_given_twice() -> None:
    patterns = [rule.pattern.pattern for rules in RULES.values() for rule in rules]
    assert len(patterns) == len(set(patterns)) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_words_of_pages(page: Path) -> None:
    text = Text(str(page.relative_to(ROOT)), 1, prose(page.read_text("utf-8")))
    assert faults(text, "texts", "everywhere") == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_words_of_shipped_files(path: Path) -> None:
    text = Text(str(path.relative_to(ROOT)), 1, path.read_text("utf-8"))
    assert faults(text, "texts", "everywhere") == []


@pytest.mark.parametrize("name", HELPS)
def test_words_of_help(name: str) -> None:
    text = HELPS[name].get_help(click.Context(HELPS[name], info_name=f"robotrove {name}", terminal_width=80))
    assert faults(Text(f"robotrove {name} --help", 1, text), "texts", "everywhere") == []


@pytest.mark.parametrize("name", HELPS)
def test_help_begins_with_a_short_imperative(name: str) -> None:
    line = (HELPS[name].help or "").splitlines()[0]
    assert COMMANDS.get(name, ("", line))[1] == line  # what `robotrove --help` says of it, without importing it
    assert line.partition(" ")[0] in VERBS
    assert len(line) <= 60
    assert line.endswith(".")


def test_words_of_the_schema() -> None:
    texts = list(descriptions(json_schema()))
    assert len(texts) > 100
    assert [fault for text in texts for fault in faults(Text(text[:60], 1, text), "texts", "everywhere")] == []
    assert [text for text in texts if CLAUSE.match(text)] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_words_of_messages(folder: str) -> None:
    texts = [text for path, source in modules(folder) for text in messages(path, source)]
    assert [fault for text in texts for fault in faults(text, "texts", "everywhere")] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_words_of_docstrings_and_comments(folder: str) -> None:
    texts = [text for path, source in modules(folder) for text in remarks(path, source)]
    assert [fault for text in texts for fault in faults(text, "everywhere")] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_docstring_begins_with_the_name_of_the_thing(folder: str) -> None:
    for path, source in modules(folder):
        lines = [(node.lineno, str(node.value).strip().partition("\n")[0]) for node in docstrings(ast.parse(source))]
        assert [f"{path}:{at}: {line}" for at, line in lines if CLAUSE.match(line)] == []
