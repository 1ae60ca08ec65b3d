"""Packages of robotrove: the repository root, and every folder in it that has an `__init__.py`."""

from setuptools import find_packages, setup

NOT_THE_PACKAGE = ["tests", "tests.*", "benchmarks", "docs", "examples", "build", "build.*", "dist"]

setup(
    script_name="setup.py",  # which is then no module of the root package
    packages=["robotrove", *(f"robotrove.{name}" for name in find_packages(exclude=NOT_THE_PACKAGE))],
    # Not build/: Python could import its second copy of every module.
    options={"build": {"build_base": ".build"}},
)
