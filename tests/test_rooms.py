"""Test paths mirror the package, every module imports, and the glossary lists every Episode and Dataset class."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from robotrove.executors.worker import command
from robotrove.tests.support.places import MODULES, ROOT

TESTS = ROOT / "tests"
APART = ("judges", "slurm", "support", "compatibility")  # not about one folder of the package
OPTIONAL = {"lerobot", "ray", "torch"}  # packages that a plain install lacks


@pytest.mark.parametrize("module", [path for path in MODULES if path.stem != "__main__"], ids=str)
def test_a_module_can_be_imported(module: Path) -> None:
    parts = module.with_suffix("").parts
    try:
        importlib.import_module(".".join(["robotrove", *parts]).removesuffix(".__init__"))
    except ModuleNotFoundError as exc:
        if exc.name not in OPTIONAL:
            raise


def test_every_folder_of_modules_is_a_package() -> None:
    assert {str(path.parent) for path in MODULES if not (ROOT / path.parent / "__init__.py").is_file()} == set()


def test_the_program_of_a_worker_exists() -> None:
    *_, option, program, _ = command(ROOT)  # executors cannot import pipelines, so they name it
    assert option == "-m"
    assert importlib.util.find_spec(program) is not None


def subjects(test: Path) -> Iterator[str]:
    """Yield the names that a test module may begin with: its folder's, and those of what is in the package's folder."""
    folder = ROOT / test.parent.relative_to(TESTS)
    yield folder.name
    yield from (path.stem for path in folder.iterdir() if not path.name.startswith("_"))


def test_test_modules_sit_where_the_path_of_their_subject_says() -> None:
    tests = [path for path in TESTS.glob("*/**/test_*.py") if path.relative_to(TESTS).parts[0] not in APART]
    assert len(tests) > 80
    lost = [
        str(test.relative_to(TESTS))
        for test in tests
        if not any(re.match(rf"test_{name}(_|$)", test.stem) for name in subjects(test))
    ]
    assert lost == []


def test_helpers_live_in_support_and_say_what_they_are() -> None:
    others = [path for path in TESTS.rglob("*.py") if not re.match(r"test_|conftest|__init__", path.name)]
    rooms = {path.relative_to(TESTS).parts[0] for path in others}
    assert rooms - {"structure.py", "same_output.py"} <= set(APART)
    helpers = [path for path in others if path.is_relative_to(TESTS / "support")]
    assert len(helpers) > 20
    assert [str(path) for path in helpers if ast.get_docstring(ast.parse(path.read_text("utf-8"))) is None] == []


def classes() -> list[str]:
    """Return the names of all classes of the package."""
    trees = [ast.parse((ROOT / path).read_text("utf-8")) for path in MODULES]
    return [node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]


def test_no_two_classes_have_one_name() -> None:
    assert [name for name, count in Counter(classes()).items() if count > 1 and not name.startswith("_")] == []


def test_the_glossary_has_every_class_of_episodes_and_datasets() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    glossary = text.partition("## Glossary")[2].partition("\n## ")[0]
    listed = set(re.findall(r"`((?:Episode|Episodes|Dataset|Datasets)\w*)`", glossary))
    assert listed == {name for name in classes() if re.match("Episode|Dataset", name)}
