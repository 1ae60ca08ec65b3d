"""`python -m robotrove.cli`."""

from . import program

program()
