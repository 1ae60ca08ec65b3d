"""Where two pipelines differ, for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..core.yaml_source import KeyPath, show_path


def differences(new: Any, old: Any, path: KeyPath = ()) -> list[str]:
    """Say where plain values differ, a line each: ``steps[1].min_length: 20 was 10``."""
    where = show_path(path)
    if isinstance(new, list) and isinstance(old, list):
        new, old = dict(enumerate(new)), dict(enumerate(old))
    if not (isinstance(new, Mapping) and isinstance(old, Mapping)):
        return [] if new == old and type(new) is type(old) else [f"{where}: {_show(new)} was {_show(old)}"]
    if new.get("use") != old.get("use") and path:
        return [f"{where}: {_show(new)} was {_show(old)}"]
    found = [f"{show_path((*path, key))}: {_show(value)} is new" for key, value in new.items() if key not in old]
    found += [f"{show_path((*path, key))}: {_show(value)} is gone" for key, value in old.items() if key not in new]
    for key in new:
        if key in old:
            found += differences(new[key], old[key], (*path, key))
    if not found and list(new) != list(old):
        found.append(f"{where}: keys in the order {', '.join(new)} were {', '.join(old)}")
    return found


def _show(value: Any) -> str:
    if isinstance(value, dict) and "use" in value:
        return str(value["use"])
    return json.dumps(value, ensure_ascii=False)
