from __future__ import annotations

from pathlib import Path

import pytest

from robotrove.core.errors import UsageError
from robotrove.core.workspace import Workspace


@pytest.mark.parametrize(("output", "run_dir"), [("out\udcff", None), ("lab\udcff/out", None), ("out", "run\udcff")])
def test_names_that_are_not_utf_8_are_refused(tmp_path: Path, output: str, run_dir: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        Workspace.for_output(tmp_path / output, tmp_path / run_dir if run_dir else None)
    assert "\\udcff" in str(caught.value)
    assert "its name is not UTF-8" in str(caught.value)


def test_names_in_utf_8_are_taken(tmp_path: Path) -> None:
    workspace = Workspace.for_output(tmp_path / "ä \n機")
    assert (workspace.output, workspace.run_dir) == (tmp_path / "ä \n機", tmp_path / "ä \n機.run")
