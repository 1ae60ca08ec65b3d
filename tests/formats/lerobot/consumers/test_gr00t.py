from __future__ import annotations

import pytest

from .cases import CASES, RELEASES, Case
from .conftest import Copy

SEVERITIES = {"error": "E", "warning": "W"}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_each_release_makes_of_one_mistake(copy: Copy, case: Case) -> None:
    case.change(copy)
    for release, expected in zip(RELEASES, case.expected, strict=True):
        found = copy.found(release)
        assert [SEVERITIES[severity] for severity, _, _ in found] == ([] if expected == "." else [expected]), found
        for _, where, message in found:
            assert where.startswith(case.where), where
            assert case.told in message
