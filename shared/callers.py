"""Who calls, and what they may do: tokens in, callers out. Knows neither functions nor records."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from werkzeug.datastructures import Headers

from shared.errors import ConfigError, Refused
from shared.tokens import SKEW

GOOGLE = frozenset({"accounts.google.com", "https://accounts.google.com"})
FIREBASE = "https://securetoken.google.com/"
CLAIM = "bothways"
"""The custom claim of a Firebase user that holds the role."""
REMOVED = "SIGNATURE_REMOVED_BY_GOOGLE"
"""What Cloud Run puts in the place of a token's signature once IAM has checked it."""
SERVERLESS = "X-Serverless-Authorization"
"""Where this header is sent, IAM checks the token in it, and not the one in Authorization."""
HOW = (
    "send `Authorization: Bearer TOKEN`, with a Google ID token for this function's address, a Firebase ID token of somebody "
    "with a role, or an operator token"
)


class Role(StrEnum):
    """What a caller may do: each of the first three also what the ones before it may. Eventarc's only poke trackers."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    EVENTS = "events"


_RISING = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)


@dataclass(frozen=True)
class Caller:
    """Whose call it is: `name` for the audit, `id` for the log, which names no person. `shared`: behind the token may be
    any of several people, who say themselves who they are."""

    name: str
    id: str
    role: Role | None
    shared: bool = False

    def require(self, role: Role, what: str = "this") -> None:
        """Raise Refused (403) unless the caller has the role, or a higher one."""
        enough = _RISING[_RISING.index(role) :] if role in _RISING else (role,)
        if self.role not in enough:
            raise Refused(403, f"{what} needs the role {role}, and yours is {self.role or 'none'}; an admin can give it to you")

    def signs(self, said: str) -> str:
        """Return who is on record: whoever the token proves, or, where several people share it, whoever they say they are."""
        return said if self.shared else self.name


NOBODY = Caller("nobody", "nobody", None)
"""Whoever calls, before that is known."""


def accounts_of(text: str) -> dict[str, Role]:
    """Return the accounts in `EMAIL=ROLE,EMAIL=ROLE`; ConfigError where it is something else."""
    accounts: dict[str, Role] = {}
    for number, each in enumerate(filter(None, map(str.strip, text.split(","))), 1):
        email, _, role = each.partition("=")
        if "@" not in email or role not in set(Role):
            raise ConfigError("SYNC_CALLERS", [f"entry {number} is not EMAIL=ROLE; roles: {', '.join(Role)}"])
        accounts[email] = Role(role)
    return accounts


@dataclass(frozen=True)
class Callers:
    """All who may call. `accounts` are those of Google, `audiences` the addresses that their tokens are for; `behind_iam`: no
    call comes in that Cloud Run has not checked; `open_to_events`: whatever posts events is let in, as the emulator does;
    `tokens` returns the operators' tokens, one a line, each perhaps after its role; `google` and `firebase` verify tokens."""

    project: Callable[[], str]
    accounts: Mapping[str, Role]
    audiences: frozenset[str]
    behind_iam: bool
    open_to_events: bool
    tokens: Callable[[], str]
    google: Callable[[str], Mapping[str, Any]]
    firebase: Callable[[str], Mapping[str, Any]]
    now: Callable[[], datetime]

    def poke(self, headers: Headers) -> Caller:
        """Return who posts an event; Refused as by `recognise`, and 403 for whoever is not Eventarc."""
        if self.open_to_events:
            return Caller("the emulator", "the emulator", Role.EVENTS)
        caller = self.recognise(headers)
        caller.require(Role.EVENTS)
        return caller

    def recognise(self, headers: Headers) -> Caller:
        """Return who calls. Raise Refused: 401 for no or no valid token, 403 for somebody without any role; Transient where
        Google's certificates cannot be had."""
        kind, _, token = headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if kind.lower() != "bearer" or not token:
            raise Refused(401, f"no token; {HOW}")
        claims = _unverified(token)
        if claims is None:
            return self._operator(token)
        issuer = str(claims.get("iss"))
        if issuer in GOOGLE:
            return self._account(token, claims, SERVERLESS in headers)
        if issuer == FIREBASE + self.project():
            return self._user(token, claims)
        raise Refused(401, f"the token is of nobody whose tokens are taken here; {HOW}")

    def _operator(self, token: str) -> Caller:
        """Every token is compared, in constant time, so that the time taken tells of none."""
        fitting = [each for given, each in _operators(self.tokens()) if hmac.compare_digest(given.encode(), token.encode())]
        if not fitting:
            raise Refused(401, "the token is none of those in the secret operator-token; take one from there")
        return fitting[0]

    def _account(self, token: str, claims: Mapping[str, Any], serverless: bool) -> Caller:
        """A token without its signature counts only where Cloud Run has checked that very token: with the other header sent,
        it has checked that one, and this may be anything."""
        self._refuse_expired(claims)
        if claims.get("aud") not in list(self.audiences):
            raise Refused(401, "the token is for another audience; ask for one whose audience is this function's address")
        if not (self.behind_iam and not serverless and token.endswith(f".{REMOVED}")):
            claims = self.google(token)
        email = str(claims.get("email"))
        if claims.get("email_verified") is not True or email not in self.accounts:
            raise Refused(403, "this account may not call; whoever deploys the functions can name it in SYNC_CALLERS")
        known = email if email.endswith(".gserviceaccount.com") else str(claims.get("sub"))
        return Caller(email, known, self.accounts[email])

    def _user(self, token: str, claims: Mapping[str, Any]) -> Caller:
        self._refuse_expired(claims)
        claims = self.firebase(token)
        role, id = claims.get(CLAIM), str(claims["sub"])
        if role not in _RISING:
            raise Refused(403, "you are signed in, but have no role here; an admin can give you one: ./bothways grant EMAIL ROLE")
        return Caller(str(claims["email"]) if claims.get("email_verified") is True else id, id, Role(role))

    def _refuse_expired(self, claims: Mapping[str, Any]) -> None:
        until = claims.get("exp")
        if isinstance(until, bool) or not isinstance(until, (int, float)) or until + SKEW < self.now().timestamp():
            raise Refused(401, "the token has expired; get a new one")


def operator_token(secret: str) -> str:
    """Return the first token in the secret operator-token with which runs can be asked for."""
    return next(token for token, caller in _operators(secret) if caller.role is not Role.VIEWER)


def _operators(secret: str) -> Iterator[tuple[str, Caller]]:
    """Yield the tokens in the secret: one a line, so that two are valid while one takes the other's place."""
    for number, words in enumerate(filter(None, map(str.split, secret.splitlines())), 1):
        role = Role.OPERATOR.value if len(words) == 1 else words[0]
        if len(words) > 2 or role not in _RISING:
            problem = f"line {number} is neither TOKEN nor ROLE TOKEN; roles: {', '.join(_RISING)}"
            raise ConfigError("the secret operator-token", [problem])
        yield words[-1], Caller(f"operator token {number}", f"operator token {number}", Role(role), shared=True)


def _unverified(token: str) -> dict[str, Any] | None:
    """Return what a token claims to be; None for one that is no JWT."""
    header, _, rest = token.partition(".")
    payload, dot, _ = rest.partition(".")
    parts = [_object(header), _object(payload)]
    return parts[1] if dot and None not in parts else None


def _object(part: str) -> dict[str, Any] | None:
    try:
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
