"""The limits of the code's structure, and the rules by which its figures are counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from robotrove.tests.structure import ROOT, Figure, figures, main

FOUND = figures(ROOT)

Count = Callable[[dict[str, str]], dict[str, Figure]]


@pytest.fixture
def count(tmp_path: Path) -> Count:
    """A function from file texts, by path, to figures, by name."""

    def counted(files: dict[str, str]) -> dict[str, Figure]:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        return {figure.name: figure for figure in figures(tmp_path)}

    return counted


@pytest.mark.parametrize("figure", FOUND, ids=[figure.name for figure in FOUND])
def test_limit(figure: Figure) -> None:
    assert figure.within, f"{figure.value:.4g} for {figure.limit:g}\n{figure.rule}\n" + "\n".join(figure.details)


def test_only_modules_of_the_package_are_counted(count: Count) -> None:
    paths = ["__init__", "core/__init__", "core/a", "core/b", "testing/a", "media/mp4/a", "media/mp4/b", "media/mp4/c"]
    others = ["tests/a", "benchmarks/a", "docs/a", "examples/a", "build/lib/a", "dist/a", ".venv/a", "core/.old/a"]
    found = count(dict.fromkeys([f"{path}.py" for path in paths + others], ""))
    assert found["modules"].value == 8
    assert (found["modules in the fullest folder"].value, found["modules in the fullest folder"].details) == (
        3,
        ("media/mp4",),
    )


def test_chain(count: Count) -> None:
    found = count(
        {
            "core/errors.py": "",
            "pipelines/__init__.py": "NAME = 1",
            "pipelines/a.py": "from ..core import errors\nfrom .b import B\nfrom .plan.x import X",
            "pipelines/b.py": "class B:\n    def run(self):\n        from robotrove.pipelines import c",
            "pipelines/c.py": "if TYPE_CHECKING:\n    from .plan.y import Y",
            "pipelines/plan/x.py": "from . import y\nfrom .y import Y\nfrom .z import Z",
            "pipelines/plan/y.py": "import robotrove.pipelines.plan.z",
            "pipelines/plan/z.py": "import json\nfrom .. import NAME",
        }
    )
    chain = found["longest chain in pipelines"]
    assert (chain.value, chain.details) == (5, ("pipelines, 5 arrows", "a > b > c > plan > __init__"))
    room = found["longest chain in any other folder"]
    assert (room.value, room.details) == (3, ("pipelines/plan, 3 arrows", "x > y > z"))
    assert found["longest chain in media"].value == 0
    assert found["import circles"].value == 0


def test_a_circle_counts_as_many_steps_as_it_has_children(count: Count) -> None:
    found = count(
        {
            "media/a.py": "from .b import B",
            "media/b.py": "from .c import C\nfrom .d import D",
            "media/c.py": "def late():\n    from . import e",
            "media/d.py": "",
            "media/e.py": "from .b import B",
        }
    )
    assert (found["longest chain in media"].value, found["longest chain in media"].details) == (
        5,
        ("media, 5 arrows", "a > b <-> c <-> e > d"),
    )
    assert found["import circles"].details == ("media: b <-> c <-> e",)
    assert found["folder pairs that import each other"].value == 0


def test_circles_between_folders(count: Count) -> None:
    """No two modules import each other here, but the folders do."""
    found = count(
        {
            "__init__.py": "if TYPE_CHECKING:\n    from .blocks.a import A\n__version__ = '1'",
            "blocks/a.py": "from .. import __version__",
            "blocks/base.py": "from .steps.c import C",
            "blocks/steps/b.py": "from ..base import Base",
            "blocks/steps/c.py": "from ..writer.d import D",
            "blocks/writer/d.py": "",
            "blocks/writer/e.py": "from ..steps.c import C",
        }
    )
    assert found["import circles"].details == ("blocks: base <-> steps <-> writer",)
    assert found["folder pairs that import each other"].details == (
        "the root and blocks",
        "blocks and blocks/steps",
        "blocks/steps and blocks/writer",
    )


def test_lines(count: Count) -> None:
    module = '''\
        """A docstring.

        Of three lines.
        """

        import os  # 1 import line
        from a import (
            b,
            c,
        )

        if TYPE_CHECKING:  # code 1
            import d


        # A comment.
        class A:  # code 2
            """A docstring."""

            text = """code 3
            code 4
            """  # code 5

            def run(self):  # code 6
                """A docstring."""
                import e

                return (  # code 7
                    1  # code 8
                )  # code 9
        '''
    found = count({"core/a.py": module, "core/b.py": "X = 1", "core/__init__.py": '"""None."""\n'})
    assert found["code lines per module"].details == ("10 lines in 2 modules",)
    assert (found["code lines per module"].value, found["code lines per module"].within) == (5, False)
    longest = found["code lines of the longest module"]
    assert (longest.value, longest.details) == (9, ("core/a",))
    assert (found["import lines per code line"].value, found["import lines per code line"].details) == (
        0.7,
        ("7 lines",),
    )


def test_names(count: Count) -> None:
    paths = ["core/__init__", "core/a", "core/b", "formats/__init__", "formats/b", "formats/hdf5/__init__"]
    paths += ["formats/hdf5/__main__", "formats/lerobot/__main__", "formats/hdf5/c", "formats/lerobot/c"]
    found = count(dict.fromkeys([f"{path}.py" for path in paths], ""))
    assert found["equal module names"].details == ("formats/hdf5/c = formats/lerobot/c",)


def test_exports(count: Count) -> None:
    found = count(
        {
            "__init__.py": "from .core.a import A\n__all__ = ['A']",
            "core/a.py": "from os import path\n__all__ = ['A']\nclass A: ...",
            "core/b.py": "from .a import A, path\n__all__ = ['A', 'B']\nclass B: ...",
            "core/c.py": "from .a import A as A\nX = 1",
            "core/d.py": "'''Doc.'''\nfrom .a import A",
            "core/e.py": "def f():\n    from .a import *",
            "core/__init__.py": "'''Doc.'''",
            "core/__main__.py": "from .a import A\nA()",
        }
    )
    assert found["modules that re-export"].details == ("core/b: A", "core/c: A", "core/d: A")
    assert found["star imports"].details == ("core/e",)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text("X = 1\n" * 65)
    assert main([str(tmp_path)]) == 0
    assert "\ncode lines per module                    65  at least 65\n" in capsys.readouterr().out
    (tmp_path / "b.py").write_text("X = 1\n" * 401)
    (tmp_path / "c.py").write_text("from b import *\n")
    assert main([str(tmp_path), "--json"]) == 1
    figures = {figure.pop("name"): figure for figure in json.loads(capsys.readouterr().out)}
    assert {name for name, figure in figures.items() if not figure["within"]} == {
        "code lines of the longest module",
        "star imports",
        "modules that re-export",
    }
    assert figures["code lines of the longest module"] == {
        "value": 401,
        "limit": 400,
        "rule": "code lines as above",
        "details": ["b"],
        "at_least": False,
        "within": False,
    }


def test_branches_on_a_column_s_kind(count: Count) -> None:
    branches = """\
        if feature.is_visual or feature.is_video:  # one line, one branch
            pass
        pick = [key for key, feature in features.items() if feature.dtype != "string"]
        if entry["dtype"] in ("video", "image") and dtype not in VISUAL_DTYPES:
            found = "float" in feature.dtype
        return feature.dtype.startswith("float") or feature.is_task_index
    """
    others = """\
        class Feature:
            def is_visual(self):
                return self.kind
        if rows.dtype == np.uint8 or rows.dtype.kind == "f" or spec.kind == "video" or name == "dtype":
            pass
        stored = values.astype(feature.dtype) if left.dtype != right.dtype else entry["shape"] == "dtype"
        entry = {"dtype": "video"}
        row["dtype"] = "video"
    """
    places = ("formats/lerobot/a.py", "formats/lerobot/features/a.py", "formats/hdf5/a.py", "verification/a.py")
    found = count({path: branches for path in places} | {f"{path[:-4]}b.py": others for path in places})
    near, rest = (found[f"kind branches: {where}"] for where in ("lerobot, verification", "the rest"))
    lines = (1, 3, 4, 5, 6)
    assert near.details == tuple(f"{path[:-3]}:{line}" for path in (places[0], places[3]) for line in lines)
    assert rest.details == tuple(f"formats/hdf5/a:{line}" for line in lines)
    assert (near.value, rest.value) == (10, 5)
