"""Redaction of secrets in what other programs print."""

from __future__ import annotations

import os
import re

HIDDEN = "***"
_SECRET_NAMES = (
    r"(?:token|secret|password|passwd|signature|credentials?|authorization|api[-_]?key|access[-_]?key(?:[-_]?id)?)"
)
_GIVEN = re.compile(rf"({_SECRET_NAMES}[\"']?\s*[=:]\s*[\"']?(?:(?:bearer|basic)\s+)?)[^\s\"'&,;]+", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"(://)[^/\s@]+@")
# Tokens that are known by how they begin: JSON web tokens, the Hub's, AWS's, GitHub's, NVIDIA's.
_KNOWN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*|\b(?:hf|ghp|nvapi)[_-]\w{16,}|\bA[KS]IA[A-Z0-9]{16}\b")
_VARIABLE = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|KEY", re.IGNORECASE)
_MIN_VALUE = 8  # shorter ones are no secrets, and would be found in ordinary words


def redacted(text: str) -> str:
    """Return a text with what looks like a secret, or is one in the environment, replaced by ***."""
    for name, value in os.environ.items():
        if _VARIABLE.search(name) and len(value) >= _MIN_VALUE:
            text = text.replace(value, HIDDEN)
    text = _IN_ADDRESS.sub(rf"\1{HIDDEN}@", text)
    text = _GIVEN.sub(rf"\1{HIDDEN}", text)
    return _KNOWN.sub(HIDDEN, _BEARER.sub(rf"\1 {HIDDEN}", text))
