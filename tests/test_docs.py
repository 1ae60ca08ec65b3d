"""Names in the documentation exist: paths of the repository, modules, and what code blocks import from robotrove."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

import robotrove
from robotrove.tests import structure
from robotrove.tests.support.places import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ("build", "dist", "demo")}


def paths(text: str) -> set[str]:
    """Return what looks like a path of the repository: in code, in links, and in commands."""
    found = re.findall(r"(?<![\w/.~$-])(?:[\w.-]+/)+[\w.*<>-]*", text)
    return {path.rstrip(".") for path in found if path.partition("/")[0] in FOLDERS}


def imported(text: str) -> set[str]:
    """Return the names that code blocks import from robotrove."""
    lines = re.findall(r"^from robotrove import (.+)$", text, re.MULTILINE)
    return {name.strip() for line in lines for name in line.split(",")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_exists(page: Path) -> None:
    wanted = paths(page.read_text(encoding="utf-8"))
    assert page.name != "CONTRIBUTING.md" or "pipelines/run/runner.py" in wanted
    missing = [path for path in wanted if not any(ROOT.glob(re.sub(r"<\w+>", "*", path).rstrip("/")))]
    assert missing == []


def test_a_path_that_does_not_exist_is_found() -> None:
    assert paths("see `core/commit.py`, [docs](docs/pipelines.md#x), bash .ci/types.sh, blocks/<name>.py") == {
        "core/commit.py",
        "docs/pipelines.md",
        ".ci/types.sh",
        "blocks/<name>.py",
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_imports_public_names_only(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "from robotrove." not in text
    assert {name for name in imported(text) if not hasattr(robotrove, name)} == set()


def walks() -> list[tuple[str, str]]:
    """Return the arrows of the walks in CONTRIBUTING.md: pairs of modules, the first imports the second."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = re.sub(r"\n +→", " →", text.partition("Three walks")[2].partition("```")[2].partition("```")[0])
    lines = [re.split(r"[→⇢]", line) for line in block.splitlines() if "→" in line]
    names = [[re.findall(r"[\w/]+\.py", part)[-1 if at == 0 else 0] for at, part in enumerate(line)] for line in lines]
    started = {tuple(re.findall(r"([\w/]+\.py) ⇢ ([\w/]+\.py)", line)[0]) for line in block.splitlines() if "⇢" in line}
    return [pair for line in names for pair in pairwise(line) if pair not in started]


def test_the_arrows_of_the_walks_are_imports() -> None:
    modules = structure.read_modules(ROOT)
    arrows = {(f"{'/'.join(a)}.py", f"{'/'.join(b)}.py") for a, b in structure.import_arrows(modules)}
    assert len(walks()) > 25
    assert [pair for pair in walks() if pair not in arrows] == []
