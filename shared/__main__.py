"""`python -m shared`: the command line."""

from shared import cli_doctor, cli_init, cli_overview, cli_privacy, cli_roles
from shared.cli import app

__all__ = ["cli_doctor", "cli_init", "cli_overview", "cli_privacy", "cli_roles"]

app(prog_name="bothways")
