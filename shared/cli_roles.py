"""The commands that say who may do what: grant and revoke."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from shared import wiring
from shared.callers import Role
from shared.cli import EXIT_CODES, Json, app
from shared.roles import give
from shared.terminal import known_name, show, working

__all__ = ["app"]
PEOPLE = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)
Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The address that they sign in with.")]
By = Annotated[str, typer.Option("--by", envvar="USER", help="Who does it, for sync_audit.")]
RoleName = Annotated[str, typer.Argument(metavar="ROLE", help=f"{', '.join(PEOPLE)}: each may do what those before it may.")]


@app.command(epilog=EXIT_CODES)
def grant(email: Email, role: RoleName, by: By = "operator", as_json: Json = False) -> None:
    """Give a Firebase user a role. It counts from their next token on: within the hour, or when they sign in anew."""
    with working(as_json):
        known = Role(known_name("role", role, PEOPLE))
    _change(email, known, by, as_json)


@app.command(epilog=EXIT_CODES)
def revoke(email: Email, by: By = "operator", as_json: Json = False) -> None:
    """Take a Firebase user's role. A token that they hold is good until it expires, within the hour."""
    _change(email, None, by, as_json)


def _change(email: str, role: Role | None, by: str, as_json: bool) -> None:
    what = "revoke" if role is None else "grant"
    with working(as_json):
        user = give(wiring.firebase(), email, role)
        wiring.store().audit(what, user, by, wiring.now(), role=role)
    show({"user": user, "role": role}, as_json, _said)


def _said(done: dict[str, Any]) -> list[str]:
    return [f"user {done['user']} has {'the role ' + done['role'] if done['role'] else 'no role'} now"]
