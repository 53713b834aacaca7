"""`python -m shared`: the command line."""

from shared.cli_privacy import app

app(prog_name="bothways")
