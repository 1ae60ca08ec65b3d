"""Browser of one HDF5 file, with the commands of a shell."""

from __future__ import annotations

import cmd
import posixpath
import sys
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from glob import has_magic
from math import prod
from typing import Any

from ...core.errors import EpisodeRejected, RobotroveError, UsageError, nearest, printable
from ...formats.hdf5.file_facts import conversions
from ...formats.hdf5.hdf5_file import group_links, lookup, object_name, reading
from ...formats.hdf5.preview import pictures, preview
from ...formats.hdf5.tree import Node, grown, tree
from ..output import colours, columns, counted, echo, echo_drawn, padded
from .object_lines import FRAMES, facts, preview_lines, tree_lines

_HELP = {
    "ls": "[PATH]      list the members of a group, by default of the current one",
    "cd": "[PATH]      make a group the current one: cd data/demo_0, cd ..",
    "pwd": "           show the path of the current group",
    "info": "[PATH]    show an object, its attributes, and the tree below it",
    "preview": "PATH   show values of a dataset: numbers, texts, pictures",
    "find": "TEXT      show the objects below with this text in their name: find cam*",
    "help": "          show the commands; paths with spaces need no quotes",
    "exit": "          end the program, also: quit, Ctrl-D",
}
_MOST_NAME = 40  # columns of a name in a list


class Browser(cmd.Cmd):
    """Commands on one open file: typed at a terminal with completion and history, or read from a script.

    Links are followed. Names are typed as they are shown, so that control characters are typed as escapes.

    Args:
        name: Name of the file, for the prompt.
        file: The open file.
    """

    def __init__(self, name: str, file: Any) -> None:
        super().__init__()
        self._name = name
        self._file = file
        self._path = "/"
        self._line = 0  # of a script
        self._has_failed = False

    def run(self) -> bool:
        """Carry out commands from standard input until it ends; return whether one failed."""
        if not sys.stdin.isatty():
            with open(sys.stdin.fileno(), errors="surrogateescape", closefd=False) as script:
                for self._line, line in enumerate(script, 1):
                    if self.onecmd(line):
                        break
            return self._has_failed
        echo("help shows the commands")
        with suppress(ImportError):  # Python may lack it, and then has neither completion nor history
            import readline

            readline.set_completer_delims(" /")  # of names with a hyphen, the whole is shown
            if "libedit" in (readline.__doc__ or ""):  # `cmd` knows its words from Python 3.13 on
                readline.parse_and_bind("bind ^I rl_complete")
        while True:
            try:
                self.cmdloop()
                return self._has_failed
            except KeyboardInterrupt:
                echo("")

    @property
    def prompt(self) -> str:  # type: ignore[override]  # an attribute in `cmd`, which reads it before each line
        """The file and the current group."""
        return f"{printable(self._name)}:{printable(self._path)}> "

    def onecmd(self, line: str) -> bool:
        """Carry out a line; return whether it ends the program. An error is shown, and the next line follows."""
        try:
            return bool(super().onecmd(line))
        except RobotroveError as exc:
            self._has_failed = True
            text = f"{exc.detail} ({exc.reason})" if isinstance(exc, EpisodeRejected) else str(exc)
            echo(f"error: {f'line {self._line}: ' if self._line else ''}{text}", err=True)
            return False

    def emptyline(self) -> bool:
        return False

    def default(self, line: str) -> bool:  # type: ignore[override]  # `onecmd` returns it
        if line != "EOF":  # cmd's word for Ctrl-D
            word = line.split()[0]
            raise UsageError(printable(word), f"is not a command{nearest(word, [*_HELP, 'quit'])}", ", ".join(_HELP))
        echo("")
        return True

    def do_help(self, arg: str) -> None:
        for name, line in _HELP.items():
            if arg in ("", name):
                echo(f"  {name} {line}")

    def do_exit(self, arg: str) -> bool:
        return True

    do_quit = do_exit

    def do_pwd(self, arg: str) -> None:
        echo(printable(self._path))

    def do_cd(self, arg: str) -> None:
        node = self._node(arg or "/")
        if node.kind != "group":
            raise UsageError(printable(node.path), "is not a group", "a group to change to", f"info {printable(arg)}")
        self._path = node.path

    def do_ls(self, arg: str) -> None:
        node = self._node(arg)
        nodes = [*self._below(node, 1)]
        rows = [(printable(posixpath.basename(found.path)), facts(grown(iter([found])))) for found in nodes]
        width = min(_MOST_NAME, max((columns(name) for name, _ in rows), default=0))
        for name, text in rows:
            echo(f"{padded(name, width)}  {text}")

    def do_info(self, arg: str) -> None:
        node = self._node(arg)
        branch = grown(self._below(node, None, itself=True))
        for at, (lines, _) in enumerate(tree_lines(branch, attrs=True, max_level=None)):
            for line in "\n".join(lines[: 1 if at else None]).split("\n"):
                echo(line[2 * node.level :])
        if node.shape is not None:
            echo(f"  {counted(prod(node.shape), 'value')}")

    def do_preview(self, arg: str) -> None:
        node = self._node(arg)
        if node.kind == "group":
            raise UsageError(
                printable(node.path), "is not a dataset", "a dataset with values", f"ls {printable(arg)}".rstrip()
            )
        found = preview(self._file, node.path)
        shown = pictures(self._file, node.path, FRAMES, conversions(self._file))
        lines = [*preview_lines(found, shown, colours())]
        echo_drawn("\n".join(lines or ["no values to show: the dataset is empty, or of another type"]))
        self._has_failed |= bool(shown.problem or (found and found.problem))

    def do_find(self, arg: str) -> None:
        if not arg:
            raise UsageError("find", "has no text", "a part of a name, or a pattern", "find actions")
        start = self._node("")
        pattern = arg if has_magic(arg) else f"*{arg}*"
        count = 0
        for node in self._below(start, None):
            inside = printable(node.path[len(start.path.rstrip("/")) + 1 :])
            if fnmatchcase(inside if "/" in arg else posixpath.basename(inside), pattern):
                echo(f"{printable(node.path)}  {facts(grown(iter([node])))}")
                count += 1
        if not count:
            echo(f"no name below {printable(start.path)} is like {printable(arg)}")

    def completenames(self, text: str, *_: object) -> list[str]:
        """Return the commands that complete a word."""
        return [f"{name} " for name in _HELP if name.startswith(text)]

    def completedefault(self, text: str, line: str, begidx: int, endidx: int) -> list[str]:
        """Return the names that complete the path before the cursor, groups with a slash."""
        command, _, typed = line[:endidx].partition(" ")
        folder, slash, last = typed.lstrip().rpartition("/")
        above = self._absolute(folder + slash)
        nodes = [self._node(f"{above}/{name}") for name in self._names(above) if printable(name).startswith(last)]
        shown = [(printable(posixpath.basename(node.path)), node.kind) for node in nodes]
        done = len(last) - len(text)  # a name has spaces
        return [name[done:] + "/" * (kind == "group") for name, kind in shown if command != "cd" or kind == "group"]

    def _absolute(self, typed: str) -> str:
        """Return the path that a typed one means; it need not exist."""
        path = "/" if typed.startswith("/") else self._path
        for part in typed.split("/"):
            if part == "..":
                path = posixpath.dirname(path)
            elif part not in ("", "."):
                names = self._names(path)
                escaped = (name for name in names if part not in names and printable(name) == part)
                path = f"{path.rstrip('/')}/{next(escaped, part)}"
        return path

    def _names(self, path: str) -> list[str]:
        """Return the names of a group's members; of another object none."""
        with suppress(EpisodeRejected), reading(path):
            found = lookup(self._file, path[1:])
            return [object_name(name) for name, _ in group_links(found)] if hasattr(found, "keys") else []
        return []

    def _node(self, typed: str) -> Node:
        """Return the object at a typed path.

        Raises:
            UsageError: If it does not exist.
            EpisodeRejected: If it cannot be read, or is a link that leads nowhere.
        """
        path = self._absolute(typed)
        if lookup(self._file, path[1:]) is None:
            name, above = posixpath.basename(path), posixpath.dirname(path)
            found = f"does not exist{nearest(name, map(printable, self._names(above)))}"
            raise UsageError(printable(path), found, "the path of an object", f"ls {printable(above)}")
        return next(tree(self._file, 0, path))

    def _below(self, node: Node, depth: int | None, *, itself: bool = False) -> Iterator[Node]:
        """Yield what is below an object, and a dataset itself; note what cannot be read."""
        for found in tree(self._file, None if depth is None else node.level + depth, node.path):
            self._has_failed |= found.kind == "unreadable"
            if itself or found.path != node.path or node.kind != "group":
                yield found
