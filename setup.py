"""Packages of robotrove: the repository root, and every folder in it that has an `__init__.py`."""

import shutil

from setuptools import find_packages, setup

FOLDERS = ("tests", "benchmarks", "docs", "examples", "build", "dist")
NOT_THE_PACKAGE = [name for folder in FOLDERS for name in (folder, f"{folder}.*")]
BUILD = ".build"  # not build/: Python could import its second copy of every module

if __name__ == "__main__":
    shutil.rmtree(f"{BUILD}/lib", ignore_errors=True)  # modules that exist no more must not get into the wheel
    setup(
        script_name="setup.py",  # which is then no module of the root package
        packages=["robotrove", *(f"robotrove.{name}" for name in find_packages(exclude=NOT_THE_PACKAGE))],
        options={"build": {"build_base": BUILD}},
    )
