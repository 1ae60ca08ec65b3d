"""What an install holds: every package, every data file, and a command that works without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from robotrove.tests.structure import NOT_THE_PACKAGE
from robotrove.tests.support.hub.server import TOKEN, running
from robotrove.tests.support.places import ROOT

pytestmark = pytest.mark.slow


NOT_SHIPPED = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "demo")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy: an older build/ beside the sources could put a file into the wheel that is gone."""
    return shutil.copytree(ROOT, tmp_path_factory.mktemp("package") / "checkout", ignore=NOT_SHIPPED)


@pytest.fixture(scope="module")
def shipped(checkout: Path) -> set[str]:
    """What a wheel must hold: every file below the folders of the package, and those of the root that belong to it."""
    folders = {path.name for path in checkout.iterdir() if path.is_dir()} - NOT_THE_PACKAGE - {"slurm"}
    paths = [path for folder in folders for path in (checkout / folder).rglob("*") if path.is_file()]
    paths += [checkout / "__init__.py", checkout / "py.typed"]
    paths += [path for path in (checkout / "slurm").rglob("*") if path.is_file()]
    return {str(path.relative_to(checkout)) for path in paths}


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    check([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(checkout)], cwd=out)
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_holds_every_module_and_every_data_file_and_nothing_else(shipped: set[str], wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name.removeprefix("robotrove/") for name in names} == shipped
    assert {"testing/layout_contract.py", "pipelines/shipped/libero.yaml", "manifests/robots/so101.yaml"} <= shipped
    assert not any(name.startswith(("tests/", "setup.py")) for name in shipped)


def test_the_sdist_holds_what_the_wheel_does_and_how_to_build_it(
    checkout: Path, shipped: set[str], tmp_path: Path
) -> None:
    check(
        [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(checkout)],
        cwd=tmp_path,
    )
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if not archive.getmember(name).isdir()}
    made = {name for name in names if name.startswith("robotrove.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    assert names - made == shipped | {"pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"}


def test_a_module_that_exists_no_more_is_not_in_the_next_wheel(checkout: Path, wheel: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(checkout, tmp_path / "checkout")
    (copy / "core" / "gone.py").write_text("")
    names = []
    for folder in ("before", "after"):
        build = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "-w",
            folder,
            str(copy),
        ]
        check(build, cwd=tmp_path)
        (path,) = (tmp_path / folder).glob("*.whl")
        with zipfile.ZipFile(path) as archive:
            names.append(set(archive.namelist()))
        (copy / "core" / "gone.py").unlink(missing_ok=True)
    assert names[0] - names[1] == {"robotrove/core/gone.py"}


def test_a_build_leaves_no_second_copy_that_can_be_imported(checkout: Path, wheel: Path) -> None:
    copies = {path.relative_to(checkout) for path in checkout.rglob("commit.py")}
    importable = {path for path in copies if all(part.isidentifier() for part in path.parent.parts)}
    assert importable == {Path("core/commit.py")}


def test_the_wheel_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """In CI with nothing but the dependencies that it declares; elsewhere with those that are installed here."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    alone = os.environ.get("CI") == "true"
    check([str(python), "-m", "pip", "install", "-q", *([] if alone else ["--no-deps"]), str(wheel)], cwd=tmp_path)
    if not alone:
        # A path in a .pth file is searched, but not for further .pth files: the editable robotrove stays unseen.
        place = check([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], cwd=tmp_path)
        Path(place.strip(), "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    robotrove = str(home / "bin" / "robotrove")
    source = check([str(python), "-c", "import robotrove; print(robotrove.__file__)"], cwd=tmp_path)
    assert Path(source.strip()).is_relative_to(home)
    help_text = check([robotrove, "--help"], cwd=tmp_path)
    assert all(f"\n  {command} " in help_text for command in ("sample", "init", "run", "verify"))
    check([robotrove, "sample", "isaaclab", "demo"], cwd=tmp_path)
    check([robotrove, "init", "demo/isaaclab.hdf5", "-o", "pipeline.yaml"], cwd=tmp_path)
    check([robotrove, "run", "pipeline.yaml", "--output", "dataset"], cwd=tmp_path)
    check([robotrove, "verify", "dataset", "--source", "dataset.run"], cwd=tmp_path)
    with running(tmp_path / "hub") as hub:
        login = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "hf")}
        told = check([robotrove, "push", "dataset", "lab/cubes"], cwd=tmp_path, **login)
        assert told.startswith(f"{hub.url}/datasets/lab/cubes (private): ")
        assert "meta/info.json" in hub.repository("lab/cubes").tree("v3.0")


def check(command: list[str], *, cwd: Path, **more: str) -> str:
    """Run a command away from the checkout and return what it prints; `more` are environment variables."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")} | more
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
