"""Secrets in a pipeline file: refused, since everything in it is written down in run directories and logs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..core.yaml_source import KeyPath, Located, keys_of, show_path

# The Hub's tokens begin like this; nothing else that a pipeline says does.
_TOKEN = re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{16,}")
_NAMES = re.compile(r"(?:^|_)(?:token|secret|password|api_key|credentials?)$", re.IGNORECASE)
_EXPECTED = "the token of HF_TOKEN in the environment, or of `hf auth login`, and none in a file"


def secret_mistakes(node: Located, path: KeyPath = ()) -> Iterator[tuple[int, str]]:
    """Yield line and text of each key that is there for a secret, and each text that holds a token; never the text."""
    if path and isinstance(path[-1], str) and _NAMES.search(path[-1]):
        yield node.line, f"{show_path(path)}: is a place for a secret; expected {_EXPECTED}"
    elif isinstance(node.value, str) and _TOKEN.search(node.value):
        yield node.line, f"{show_path(path)}: holds a token of the Hub; expected {_EXPECTED}; revoke this one"
    for key in keys_of(node.value):
        yield from secret_mistakes(node.value[key], (*path, key))
