"""Stands in for OSMO's command: it finds the files that its uploads would send, and writes down what it got.

What it does with paths and the pattern is what OSMO's client does: stored paths begin with the folder's own name, the
pattern is matched from their beginning, files behind links are read and folders behind them not walked. $OSMO_RECORD
is the file that it writes to, $OSMO_DOES what it is to do besides, $OSMO_HAS its commands: `dataset data` as in 6.3,
`data` as from 6.4 on.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path


def main() -> int:
    does = os.environ.get("OSMO_DOES", "")
    parser = argparse.ArgumentParser(prog="osmo")
    modules = parser.add_subparsers(required=True)
    for name in os.environ.get("OSMO_HAS", "dataset data").split():
        upload = modules.add_parser(name).add_subparsers(required=True).add_parser("upload")
        upload.add_argument("name")
        upload.add_argument("path", nargs="+")
        upload.add_argument("--regex", "-x", type=re.compile)
    arguments = parser.parse_args()
    stored = []
    for path in map(os.path.abspath, arguments.path):
        for folder, _, names in os.walk(path):
            for name in names:
                place = os.path.relpath(os.path.join(folder, name), os.path.dirname(path))
                if not arguments.regex or arguments.regex.match(place):
                    stored.append((place, os.stat(os.path.join(folder, name)).st_size))
    with open(os.environ["OSMO_RECORD"], "a", encoding="utf-8") as record:
        record.write(json.dumps({"arguments": sys.argv[1:], "stored": sorted(stored)}) + "\n")
    print("\r".join(f"{n}%" for n in range(0, 101, 10)))
    if does == "fail":
        print("connecting with token=abcdefgh12345678 to s3://AKIAABCDEFGHIJKLMNOP@bucket")
        print(f"Authorization: Bearer {os.environ['OSMO_LOGIN_TOKEN']}", file=sys.stderr)
        print(f"as {os.environ['OSMO_LOGIN_TOKEN']}, of the environment")
        print("Error: bucket isaac is full \x1b[31m!", file=sys.stderr)
        return 3
    if does == "lose_files":
        print("Upload Failed on files:\nlerobot/meta/info.json")
    if does == "kill":
        os.kill(os.getpid(), 9)
    print(f"{arguments.name} has been uploaded")
    return 0


def install(folder: Path) -> Path:
    """Write the command into a folder that is to be on PATH; return the file that it will write to."""
    folder.mkdir()
    script = folder / "osmo"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).resolve()} "$@"\n')
    script.chmod(0o755)
    return folder / "record.jsonl"


if __name__ == "__main__":
    sys.exit(main())
