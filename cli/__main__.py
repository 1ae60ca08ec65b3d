"""`python -m robotrove.cli`."""

from . import main

main()
