"""`python -m shared`: the command line, with all its commands."""

from shared import cli_decisions, cli_doctor, cli_init, cli_ojs, cli_overview, cli_privacy, cli_roles
from shared.cli import app

__all__ = ["app", "cli_decisions", "cli_doctor", "cli_init", "cli_ojs", "cli_overview", "cli_privacy", "cli_roles"]

if __name__ == "__main__":
    app(prog_name="bothways")
