"""Names in the documentation exist: paths of the repository, modules, and what code blocks import from robotrove."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import robotrove
from robotrove.formats.hdf5.samples import write_sample
from robotrove.tests import structure
from robotrove.tests.support.places import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ("build", "dist", "demo")}


def paths(text: str) -> set[str]:
    """Return what looks like a path of the repository: in code, in links, and in commands."""
    found = re.findall(r"(?<![\w/.~$-])(?:[\w.-]+/)+[\w.*<>-]*", text)
    return {path.rstrip(".") for path in found if path.partition("/")[0] in FOLDERS}


def named_files(text: str) -> set[str]:
    """Return paths of Python files in code, whatever folder they name; dataset paths never end in .py."""
    return set(re.findall(r"(?<![\w/.~$-])((?:[\w-]+/)+[\w-]+\.py)\b", text))


def links(text: str) -> set[str]:
    """Return the targets of links that lead into the repository."""
    return {target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target}


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_every_module_and_every_python_file_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in links(text):
        path, _, anchor = target.partition("#")
        aim = page.parent / path if path else page
        assert aim.exists(), target
        assert not anchor or anchor in anchors(aim), target
    assert [path for path in named_files(text) if not (ROOT / path).is_file()] == []
    for name in re.findall(r"\brobotrove((?:\.[a-z_]\w*)+)", text):
        folder, found = ROOT.joinpath(*name.split(".")[1:]), name.startswith(".schema")  # robotrove.schema.json, a file
        assert found or folder.is_dir() or folder.with_suffix(".py").is_file(), name


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


def test_the_readme_is_short_and_begins_with_what_can_be_tried() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert lines.index("```bash") < 40
    assert sum(line.startswith("- **") for line in lines[:20]) == 4


@pytest.mark.slow
def test_the_output_in_the_readme_is_that_of_its_commands(tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    commands, shown = re.findall(r"```(?:bash|text)\n(.+?)\n```", page, re.DOTALL)[:2]
    script = "robotrove sample" + commands.partition("robotrove sample")[2]  # all but the install
    env = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [re.escape(line).replace("…", ".*").replace("0:02", r"\d:\d\d") for line in shown.splitlines()]
    assert len(lines) > 5
    assert re.search("^" + r"$(?:\n.*)*?\n^".join(lines) + "$", done.stdout, re.MULTILINE), done.stdout


def test_steps_in_a_pipeline_of_datatrove(tmp_path: Path) -> None:
    page = (ROOT / "docs/blocks.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.+?)\n```", page.partition("## In a pipeline of datatrove")[2], re.DOTALL)[0]
    for name, frames in (("a", 6), ("b", 4)):
        [path] = write_sample("isaaclab", tmp_path / "recordings", episodes=3, frames=frames, height=48, width=48)
        path.rename(path.with_name(f"{name}.hdf5"))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "episodes-0.txt").read_text().splitlines() == [
        "data/demo_0: stack the cubes, 6 frames",
        "data/demo_2: stack the cubes, 6 frames",
    ]


def guides() -> list[tuple[str, str, str]]:
    """Return the ways from HDF5 files to training: title, sample, commands."""
    page = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    return re.findall(r"^### (.+)\n\nSample: `(\w+)`\.[\s\S]*?```bash\n([\s\S]+?)\n```", page, re.MULTILINE)


def test_every_guide_has_its_way_to_training() -> None:
    assert [sample for _, sample, _ in guides()] == ["leisaac", "arena_gr1", "evaltasks", "piper", "libero"]


@pytest.mark.slow
@pytest.mark.parametrize(("title", "sample", "commands"), guides(), ids=[sample for _, sample, _ in guides()])
def test_the_way_from_recordings_to_training_runs(tmp_path: Path, title: str, sample: str, commands: str) -> None:
    """All commands but the training: a stand-in of its program shows that it starts."""
    write_sample(sample, tmp_path / "recordings", episodes=2, frames=40)
    stand_in = tmp_path / "bin/python"
    stand_in.parent.mkdir()
    stand_in.write_text("#!/bin/sh\necho started\n")
    stand_in.chmod(0o755)
    stand_in.with_name("torchrun").symlink_to(stand_in)
    (tmp_path / "Isaac-GR00T").mkdir()
    path = os.pathsep.join([str(stand_in.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    script = "set -e\n" + "\n".join(line for line in commands.splitlines() if not line.startswith("cp "))
    env = os.environ | {"PATH": path, "HOME": str(tmp_path)}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{title}: {done.stderr}"
    assert done.stdout.endswith("started\n")


def test_the_code_of_the_reading_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every block, in order, on a dataset; then the last one where the rows of its second episode are missing."""
    [recording] = write_sample("isaaclab", tmp_path, episodes=2, frames=12, height=48, width=64)
    columns = {"action": "actions", "observation.images.front": "obs/front"}
    source = robotrove.Hdf5Reader(files=[str(recording)], layout="isaaclab", columns=columns, task="lift")
    robotrove.Pipeline(source=source, steps=[], formats=["v2.1"]).run(output=tmp_path / "cubes", workers=1)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    blocks = re.findall(r"```python\n(.+?)```", (ROOT / "docs/reading.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    printed = []
    for block in blocks:
        exec(block, names)
        printed.append(capsys.readouterr().out.splitlines())
    assert printed[0][0] == "v2.1 30 ['lift']"
    assert "observation.images.front video (48, 64, 3)" in printed[0]
    assert printed[1] == [*["(12, 7) float32"] * 2, "0 12 ('lift',) 12", "1 12 ('lift',) 12"]
    assert printed[2:4] == [["0 (12, 48, 64, 3)", "1 (12, 48, 64, 3)"], ["{'lift': [0, 1]}"]]
    assert printed[4][0].startswith("(2, 7) [")
    assert printed[5] == ["2 episodes can be read"]
    lost = "data/chunk-000/episode_000001.parquet"
    (tmp_path / "cubes" / lost).unlink()
    exec(blocks[-1], names)
    assert capsys.readouterr().out.splitlines() == ["1 episodes can be read", f"cubes/{lost} does not exist"]


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
