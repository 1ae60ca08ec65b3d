"""Licences: the Hub's names of them, and the one that a card states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.errors import ConfigError, UsageError, nearest
from ..core.version import CARD
from ..core.yaml_source import read_yaml
from .repository import MAIN, Repository, read

# docs/hub/repositories-licenses.md of huggingface/hub-docs, and those that the Hub took since.
_NAMES = """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0
    lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl
    openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license
    fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 grok2-community gemma unknown
    other
"""
_KEYS = ("license", "license_name", "license_link")
_LONGEST_CARD = 1 << 20  # bytes
_FENCE = "---\n"


def check_licence(name: str, where: str) -> None:
    """Refuse a licence that the Hub does not know.

    Args:
        name: The licence.
        where: Block or command that it was given to.

    Raises:
        UsageError: With the nearest name.
    """
    known = _NAMES.split()
    if name not in known:
        raise UsageError(
            where,
            f"{name!r} is not a licence of the Hub{nearest(name.lower(), known)}",
            "an identifier of https://huggingface.co/docs/hub/repositories-licenses, or other",
        )


def stated_licence(repository: Repository, branch: str) -> Mapping[str, Any]:
    """Return the keys of the front matter with the licence of a repository's card, if it has any.

    Args:
        repository: The repository, which need not exist.
        branch: The branch; a new one begins as a copy of main.
    """
    heads = repository.heads()
    head = heads.get(branch) or heads.get(MAIN)
    card = repository.some_files([CARD], head).get(CARD) if head else None
    if head is None or card is None or card.size > _LONGEST_CARD:
        return {}
    return licence_of(read(repository, card, head).decode("utf-8", "replace"))


def licence_of(card: str) -> dict[str, Any]:
    """Return the keys of the front matter of a card that state its licence: texts, or lists of them."""
    before, *parts = card.replace("\r\n", "\n").removeprefix("\ufeff").split(_FENCE, 2)
    try:
        root, _ = read_yaml(parts[0], CARD) if len(parts) == 2 and not before else (None, [])
    except ConfigError:
        return {}
    front = root.plain() if root else None
    found = {key: front.get(key) for key in _KEYS} if isinstance(front, dict) else {}
    texts = {key: value if isinstance(value, list) else [value] for key, value in found.items()}
    return {key: found[key] for key in found if texts[key] and all(isinstance(text, str) for text in texts[key])}
