"""How the Hub of the tests is told to fail."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["refuse", "after the work", "cut the request", "cut the answer"]


@dataclass
class Fault:
    """What happens to the next requests that match.

    Attributes:
        match: Regular expression, looked for in "METHOD /path".
        kind: Whether the request is refused, its work is done and the answer is another, or the connection is cut in
            the middle of a body.
        status: Of the answer.
        times: How many requests.
        skip: How many go well before.
    """

    match: str
    kind: Kind = "refuse"
    status: int = 503
    times: int = 1
    skip: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "told to fail"
    met: int = 0


class Faults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        self._faults.clear()

    def of(self, method: str, path: str) -> Fault | None:
        """Return the fault that this request meets."""
        with self._lock:
            for fault in self._faults:
                if re.search(fault.match, f"{method} {path}"):
                    if fault.skip > 0:
                        fault.skip -= 1
                    elif fault.met < fault.times:
                        fault.met += 1
                        return fault
        return None
