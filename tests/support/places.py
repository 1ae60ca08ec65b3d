"""Places that tests read: the checkout, its modules, and the real recordings beside it, which may be missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from robotrove.tests.structure import read_modules

ROOT = Path(__file__).resolve().parents[2]
SHARED_DATA = ROOT.parent / "shared" / "data"
# Of the folders of the package, relative to the root.
MODULES = sorted(Path(*name).with_suffix(".py") for name in read_modules(ROOT) if len(name) > 1)
NOT_IN_REPOSITORY = "real recordings are not in the repository"


def missing(path: Path) -> str:
    """Return the reason to skip a test of a real recording: the only one that CI accepts."""
    return f"{NOT_IN_REPOSITORY}; not found: {path.relative_to(ROOT.parent)}"


def needs(path: Path) -> pytest.MarkDecorator:
    """Skip a test where a real recording is missing."""
    return pytest.mark.skipif(not path.exists(), reason=missing(path))
