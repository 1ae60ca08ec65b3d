"""What names something of huggingface_hub does not import it, and gets the real thing once it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from robotrove.hub.later import hub_later


def run(code: str) -> str:
    """Run a program in a process that has imported nothing yet."""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_running_ranks_does_not_import_it() -> None:
    code = "import sys, robotrove.pipelines.run_ranks; print([name for name in sys.modules if 'huggingface' in name])"
    assert run(code) == "[]\n"


def test_what_datatrove_took_of_it_is_the_real_thing_when_it_is_used() -> None:
    assert run(
        "import sys, robotrove.executors.rank\n"
        "from datatrove.io import HfFileSystem, get_datafolder\n"
        "print(isinstance(get_datafolder('/tmp').fs, HfFileSystem), 'huggingface_hub' in sys.modules)\n"
        "found = HfFileSystem()\n"
        "print(type(found).__module__, isinstance(found, HfFileSystem), isinstance(3, HfFileSystem))\n"
    ).splitlines() == ["False False", "huggingface_hub.hf_file_system True False"]


def test_where_it_was_imported_before_it_stays() -> None:
    hub = pytest.importorskip("huggingface_hub")
    with hub_later():
        assert sys.modules["huggingface_hub"] is hub
    assert sys.modules["huggingface_hub"] is hub


def test_a_module_that_needs_more_of_it_is_imported_after_all() -> None:
    assert run(
        "import sys\n"
        "from robotrove.hub.later import hub_later\n"
        "try:\n"
        "    with hub_later():\n"
        "        from huggingface_hub.utils import validate_repo_id\n"
        "except ImportError:\n"
        "    print('refused')\n"
        "from huggingface_hub.utils import validate_repo_id\n"
        "print(validate_repo_id.__module__)\n"
    ).splitlines() == ["refused", "huggingface_hub.utils._validators"]
