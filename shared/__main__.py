"""`python -m shared`: the command line."""

from shared.cli import app

app(prog_name="bothways")
