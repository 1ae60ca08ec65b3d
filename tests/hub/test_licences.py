"""Licences that the Hub knows, and those that a card states."""

from __future__ import annotations

from typing import Any

import pytest

from robotrove.core.errors import UsageError
from robotrove.hub.licences import check_licence, licence_of


@pytest.mark.parametrize("name", ["apache-2.0", "mit", "cc-by-4.0", "cc0-1.0", "openrail++", "llama3.1", "other"])
def test_licences_of_the_hub(name: str) -> None:
    check_licence(name, "push")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("apache2", "apache-2.0"), ("CC-BY-4.0", "cc-by-4.0"), ("MIT", "mit"), ("cc-by-nc4", "cc-by-nc-4.0"), ("", "")],
)
def test_unknown_licences(name: str, nearest: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_licence(name, "hub_publisher")
    told = f" (did you mean {nearest!r}?)" if nearest else ""
    assert caught.value.found == f"{name!r} is not a licence of the Hub{told}"


@pytest.mark.parametrize(
    ("card", "stated"),
    [
        ("---\nlicense: mit\ntags: [a]\n---\n# x\n", {"license": "mit"}),
        ("---\r\nlicense: mit\r\n---\r\n", {"license": "mit"}),
        (
            "---\nlicense: other\nlicense_name: lab\nlicense_link: https://lab.example\n---\n",
            {"license": "other", "license_name": "lab", "license_link": "https://lab.example"},
        ),
        ("---\nlicense: [mit, apache-2.0]\n---\n", {"license": ["mit", "apache-2.0"]}),
        ("---\nlicense: {a: b}\nlicense_name: 3\n---\n", {}),
        ("---\nlicense: []\n---\n", {}),
        ("---\n- license\n---\n", {}),
        ("---\nlicense: [mit\n---\n", {}),
        ("---\nlicense: mit\n", {}),
        ("# x\n\n---\nlicense: mit\n---\n", {}),
        ("", {}),
    ],
)
def test_the_licence_of_a_card(card: str, stated: dict[str, Any]) -> None:
    assert licence_of(card) == stated
