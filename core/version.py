"""Version of robotrove, as written to every dataset and run directory."""

from __future__ import annotations

__version__ = "0.2.3"

# The card of a dataset, and the line by which a card is known that `robotrove push` wrote: it may be replaced.
CARD = "README.md"
MARK = "<!-- robotrove writes this card anew with each push; remove this line to keep a text of your own -->"
