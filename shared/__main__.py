"""`python -m shared`: the command line."""

from shared.cli_roles import app

app(prog_name="bothways")
