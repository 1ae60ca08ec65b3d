"""`inspect --interactive`: from a script on standard input, and at a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from robotrove.formats.hdf5.samples import write_sample

COMMAND = [sys.executable, "-m", "robotrove.cli", "inspect", "-i"]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "pick.hdf5", "w") as file:
        for number in (0, 2, 10):
            file[f"data/demo_{number}/actions"] = np.arange(6, dtype=np.float32).reshape(3, 2) + number
        file["data"].attrs["total"] = 9
        file["data/demo_0/actions"].attrs["unit"] = "rad"
        file.create_dataset("my group/left arm", data=np.arange(8), chunks=(4,), compression="gzip")
        file["my group/nothing"] = h5py.Empty("f4")
        file["bell\x07"] = "ding"
        file["latest"] = h5py.SoftLink("/data/demo_10")
        file["lost"] = h5py.SoftLink("/data/demo_7")
    return tmp_path / "pick.hdf5"


def script(path: Path, *lines: str) -> tuple[int, list[str], list[str]]:
    """Run a script; return the exit code, and the lines of output and of errors with single spaces."""
    done = subprocess.run([*COMMAND, path], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=60)
    out, err = ([" ".join(line.split()) for line in text.splitlines()] for text in (done.stdout, done.stderr))
    return done.returncode, out, err


def test_a_walk_through_the_groups(recording: Path) -> None:
    before = recording.stat()
    assert script(recording, "pwd", "ls", "", "cd data", "ls", "cd demo_2", "pwd", "cd ..", "pwd", "cd", "pwd") == (
        0,
        [
            "/",
            r"bell\x07 () string, 16 B, contiguous",
            "data group, 3 members",
            "latest link to /data/demo_10",
            "lost link to /data/demo_7, LEADS NOWHERE: link /lost leads to /data/demo_7 in "
            f"{recording}, which has no such object",
            "my group group, 2 members",
            "demo_0 group, 1 member",
            "demo_2 group, 1 member",
            "demo_10 group, 1 member",
            "/data/demo_2",
            "/data",
            "/",
        ],
        [],
    )
    after = recording.stat()
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)


def test_info_and_preview(recording: Path) -> None:
    code, out, err = script(
        recording, "info data/demo_0/actions", "preview /data/demo_10/actions", "info data", "preview my group/nothing"
    )
    assert (code, err) == (0, [])
    assert out == [
        "actions (3, 2) float32, 24 B, contiguous",
        '@unit = "rad"',
        "6 values",
        "first [10.0, 11.0]",
        "last [14.0, 15.0]",
        "min 10.0, mean 12.5, max 15.0",
        "data group, 3 members",
        "@total = 9",
        "demo_0 … demo_10 (3 alike, 3 rows), 72 B",
        "actions (3, 2) float32, 72 B in all, contiguous",
        "no values to show: the dataset is empty, or of another type",
    ]


def test_long_lines_and_pictures_are_those_of_inspect(tmp_path: Path) -> None:
    (path,) = write_sample("libero", tmp_path, episodes=1, frames=4, height=128, width=128, cameras=("agentview",))
    with h5py.File(path, "a") as file:
        options = {"data": file["data/demo_0/obs/agentview_rgb"][:], "chunks": (1, 128, 128, 3)}
        file.create_dataset("data/demo_0/obs/agentview_of_the_left_hand", **options)
    code, out, err = script(path, "info data", "preview data/demo_0/obs/agentview_rgb")
    assert (code, err) == (0, [])
    at = next(index for index, line in enumerate(out) if line.startswith("agentview_of_the_left_hand"))
    assert out[at : at + 2] == [
        "agentview_of_the_left_hand (4, 128, 128, 3) uint8, 196.6 KB,",
        "chunks (1, 128, 128, 3)",
    ]
    assert "frames 0, 1, 2, 3 (flip: vertical)" in out


def test_paths_with_spaces_escapes_and_links(recording: Path) -> None:
    code, out, err = script(
        recording, "cd my group", "preview left arm", r"preview ../bell\x07", "cd /latest", "pwd", "ls"
    )
    assert (code, err) == (0, [])
    assert out == [
        "first 0",
        "last 7",
        "min 0, mean 3.5, max 7",
        '"ding"',
        "/latest",
        "actions (3, 2) float32, 24 B, contiguous",
    ]


def test_find_by_text_and_by_pattern(recording: Path) -> None:
    lines = ["find demo_1", "find *arm", "cd data", "find demo_?/act*", "find nowhere"]
    code, out, err = script(recording, *lines)
    assert (code, err) == (0, [])
    assert out == [
        "/data/demo_10 group, 1 member",
        "/my group/left arm (8,) int64, "
        f"{h5py.File(recording)['my group/left arm'].id.get_storage_size()} B, chunks (4,), gzip",
        "/data/demo_0/actions (3, 2) float32, 24 B, contiguous",
        "/data/demo_2/actions (3, 2) float32, 24 B, contiguous",
        "no name below /data is like nowhere",
    ]


def test_errors_name_their_line_and_the_next_commands_run(recording: Path) -> None:
    lines = ["cd dta", "lss", "info lost", "cd data/demo_0/actions", "preview data", "find", "pwd", "exit", "pwd"]
    code, out, err = script(recording, *lines)
    assert (code, out) == (1, ["/"])
    assert [line for line in err if line.startswith("error")] == [
        "error: line 1: /dta: does not exist (did you mean 'data'?)",
        "error: line 2: lss: is not a command (did you mean 'ls'?)",
        f"error: line 3: link /lost leads to /data/demo_7 in {recording}, which has no such object (missing_dataset)",
        "error: line 4: /data/demo_0/actions: is not a group",
        "error: line 5: /data: is not a dataset",
        "error: line 6: find: has no text",
    ]
    assert {"to do: ls /", "to do: info data/demo_0/actions", "to do: ls data"} <= set(err)


def test_help_names_every_command(recording: Path) -> None:
    code, out, _ = script(recording, "help", "help cd", "quit")
    assert code == 0
    assert [line.split()[0] for line in out] == ["ls", "cd", "pwd", "info", "preview", "find", "help", "exit", "cd"]


def test_a_truncated_file_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file["first"] = np.arange(1000)
        file["last"] = np.arange(1000.0)
    path.write_bytes(path.read_bytes()[:-100])
    code, out, err = script(path, "ls", "preview first", "preview last")
    assert code == 1
    assert [line.split()[0] for line in out[:2]] == ["first", "last"]
    assert out[2:5] == ["first 0", "last 999", "min 0, mean 499.5, max 999"]
    assert out[-1].startswith("CANNOT BE READ: rows ")
    assert [line.split(":")[0] for line in err] == ["DAMAGED"]


def test_a_damaged_group_is_named_and_the_others_are_shown(recording: Path) -> None:
    with h5py.File(recording) as file:
        address = h5py.h5o.get_info(file["data/demo_2"].id).addr
    content = bytearray(recording.read_bytes())
    content[address : address + 8] = bytes(8)
    recording.write_bytes(content)
    code, out, err = script(recording, "cd data", "ls", "cd demo_2", "preview demo_10/actions")
    assert code == 1
    assert [line.split()[0] for line in out[:3]] == ["demo_0", "demo_2", "demo_10"]
    assert "CANNOT BE READ" in out[1]
    assert out[3:] == ["first [10.0, 11.0]", "last [14.0, 15.0]", "min 10.0, mean 12.5, max 15.0"]
    assert len(err) == 1
    assert err[0].startswith("error: line 3: /data/demo_2 cannot be read: ")


@pytest.mark.parametrize("more", [["-a"], ["-l", "0"], ["--json"], ["-o", "a.png"], ["other.hdf5"], ["-r"]])
def test_other_options_are_refused(recording: Path, more: list[str]) -> None:
    done = subprocess.run([*COMMAND, recording, *more], input="ls\n", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: -i: takes one HDF5 file and no other option")


def test_a_closed_standard_input_is_refused(recording: Path) -> None:
    done = subprocess.run(["sh", "-c", '"$@" <&-', "sh", *COMMAND, recording], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: -i: standard input is closed")


class Terminal:
    """A pseudo-terminal with the program at its other end."""

    def __init__(self, path: Path) -> None:
        self._own, other = pty.openpty()
        env = os.environ | {"TERM": "xterm", "INPUTRC": os.devnull, "NO_COLOR": "1"}
        self.process = subprocess.Popen([*COMMAND, path], stdin=other, stdout=other, stderr=other, env=env)
        os.close(other)

    def type(self, keys: str) -> None:
        os.write(self._own, keys.encode())

    def until(self, end: str) -> str:
        """Return what the screen gets, up to a text; without the codes of the terminal."""
        found, last = "", time.monotonic() + 60
        while not found.endswith(end):
            assert time.monotonic() < last, found
            if select.select([self._own], [], [], 1)[0]:
                try:
                    found += os.read(self._own, 4096).decode()
                except OSError:  # the other end is closed
                    return found
                found = re.sub(r"\x1b\[[?\d;]*[A-Za-z]|\x07", "", found).replace("\r\n", "\n")
        return found

    def close(self) -> int:
        code = self.process.wait(60)
        os.close(self._own)
        return code


@pytest.fixture
def terminal(recording: Path) -> Iterator[Terminal]:
    terminal = Terminal(recording)
    yield terminal
    terminal.process.kill()
    terminal.process.wait()


def test_a_terminal_has_a_prompt_completion_and_history(recording: Path, terminal: Terminal) -> None:
    head = terminal.until("pick.hdf5:/> ")
    assert head.startswith(f"{recording}: ")
    assert ", layout " in head or ", no known layout" in head
    terminal.type("cd da\t")  # completes the group, with a slash
    assert terminal.until("cd data/") == "cd data/"
    terminal.type("demo_1\t\n")
    assert "pick.hdf5:/data/demo_10> " in terminal.until("pick.hdf5:/data/demo_10> ")
    terminal.type("pre\ta\t\n")  # the command with a space
    shown = terminal.until("pick.hdf5:/data/demo_10> ")
    assert "preview actions\nfirst [10.0, 11.0]\n" in shown
    terminal.type("cd /my\t\n")  # a name with a space
    terminal.until("pick.hdf5:/my group> ")
    terminal.type("nonsense\n")
    assert "error: nonsense: is not a command" in terminal.until("pick.hdf5:/my group> ")
    terminal.type("\x1b[A\x1b[A\x1b[A\n")  # the third line before: a preview, of a group that is not the current one
    assert "preview actions\nerror: /my group/actions: does not exist" in terminal.until("pick.hdf5:/my group> ")
    terminal.type("cd\nfind arm\n")
    assert "/my group/left arm" in terminal.until("gzip\npick.hdf5:/> ")
    terminal.type("\x04")  # Ctrl-D
    assert terminal.close() == 0


def test_completion_offers_groups_only_where_a_group_is_needed(terminal: Terminal) -> None:
    terminal.until("> ")
    terminal.type("info data/demo_0/\t")
    terminal.until("info data/demo_0/actions")
    terminal.type("\x15cd data/demo_0/\t\x15pwd\n")
    assert terminal.until("\n/\npick.hdf5:/> ").count("actions") == 0
    terminal.type("exit\n")
    assert terminal.close() == 0
