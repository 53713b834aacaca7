"""One Bakaláři school over HTTP, as one of its accounts sees it. Nothing of an answer ever gets into an error."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import requests

from shared.errors import SyncError, TerminalBatch, Transient

EARLY = timedelta(seconds=30)
PAGE = "it shows a web page where data should be: a maintenance page, or the address is not that of the school's web application"


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the school lets in."""

    username: str
    password: str


@dataclass
class Login:
    """An account's tokens; a refresh token is good for one use, so only one refreshes at a time."""

    access: str | None = None
    refresh: str | None = None
    until: datetime | None = None
    lock: Lock = field(default_factory=Lock)


class Client:
    """Asks a school. `where` names it, and the account by its number, in errors. `url` is what comes before `/login`."""

    def __init__(
        self,
        where: str,
        url: str,
        account: Account,
        now: Callable[[], datetime],
        session: requests.Session | None = None,
        timeout: float = 30.0,
    ) -> None:
        self.where, self.url, self.account, self.now, self.timeout = where, url.rstrip("/"), account, now, timeout
        self.session, self.login = session or requests.Session(), Login()

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON object at a path below `api/3/`. A token that the school does not take is replaced once."""
        answer = self._send("GET", f"api/3/{path}", token=self._token())
        if answer.status_code == 401:
            self.login.access = None
            answer = self._send("GET", f"api/3/{path}", token=self._token())
        if answer.status_code == 401:
            raise TerminalBatch(f"{self.where}: it refuses its own token; is the account still active, may it use the app?")
        return self._json(answer, path)

    def public(self, path: str) -> str:
        """Return a page that anybody may see."""
        answer = self._send("GET", path)
        if answer.status_code != 200:
            raise self._failure(answer, "the public timetable")
        return answer.text

    def _token(self) -> str:
        login = self.login
        with login.lock:
            if login.access is None or login.until is None or self.now() >= login.until:
                self._log_in()
            return login.access or ""

    def _log_in(self) -> None:
        """Get new tokens, by the refresh token where there is one, and where that is used up, by the password."""
        if self.login.refresh is not None:
            answer = self._grant({"grant_type": "refresh_token", "refresh_token": self.login.refresh})
            self.login.refresh = None
            if answer.status_code == 200:
                return self._keep(self._json(answer, "login"))
        answer = self._grant({"grant_type": "password", "username": self.account.username, "password": self.account.password})
        if answer.status_code == 400 and _error_of(answer) == "invalid_grant":
            raise TerminalBatch(f"{self.where}: it refuses user name or password; mend them in the school's secret")
        if answer.status_code == 400 and _error_of(answer):
            raise TerminalBatch(
                f"{self.where}: it refuses the login as a whole ({_error_of(answer)}); its version may be too old"
            )
        self._keep(self._json(answer, "login"))

    def _grant(self, form: Mapping[str, str]) -> requests.Response:
        return self._send("POST", "api/login", {"client_id": "ANDR", **form})

    def _keep(self, tokens: Mapping[str, Any]) -> None:
        kind = str(tokens.get("token_type", ""))
        if kind.lower() != "bearer" or not isinstance(tokens.get("access_token"), str):
            raise TerminalBatch(f"{self.where}: its login gives no token; is the address that of the school's web application?")
        seconds = tokens.get("expires_in")
        lasts = timedelta(seconds=seconds if isinstance(seconds, int | float) else 0)
        self.login.access, self.login.refresh = tokens["access_token"], tokens.get("refresh_token")
        self.login.until = self.now() + max(lasts - EARLY, lasts / 2)

    def _send(self, method: str, path: str, form: Mapping[str, str] | None = None, token: str | None = None) -> requests.Response:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        try:
            return self.session.request(
                method, f"{self.url}/{path}", data=form, headers=headers, timeout=self.timeout, allow_redirects=False
            )
        except requests.RequestException as error:
            cure = "is the address right, and the school's server up?"
            raise Transient(f"{self.where}: no answer ({type(error).__name__}); {cure}") from None

    def _json(self, answer: requests.Response, what: str) -> dict[str, Any]:
        if answer.status_code != 200:
            raise self._failure(answer, what)
        try:
            body = answer.json()
        except ValueError:
            raise TerminalBatch(f"{self.where}: {PAGE}") from None
        if not isinstance(body, dict):
            raise TerminalBatch(f"{self.where}: {what} is not as this API has it; is the address that of the web application?")
        return body

    def _failure(self, answer: requests.Response, what: str) -> SyncError:
        status = answer.status_code
        if status in {429, 500, 502, 503, 504}:
            page = f"; {PAGE}" if "html" in answer.headers.get("Content-Type", "") else ""
            return Transient(f"{self.where}: it answers {status} to {what}{page}")
        if status in {301, 302, 307, 308, 404, 405}:
            return TerminalBatch(
                f"{self.where}: it answers {status} to {what}: the address is what comes before /login, with its port"
            )
        return TerminalBatch(f"{self.where}: it answers {status} to {what}; has the account the right to see that?")


def accounts_in(text: str, where: str) -> list[Account]:
    """Return the accounts in a secret: a JSON list of objects with `username` and `password`."""
    try:
        found = [Account(each["username"], each["password"]) for each in json.loads(text)]
    except (ValueError, KeyError, TypeError):
        found = []
    if not found or not all(isinstance(part, str) for each in found for part in (each.username, each.password)):
        raise TerminalBatch(f"{where}: is no JSON list of objects with `username` and `password`; write it anew")
    return found


def _error_of(answer: requests.Response) -> str | None:
    """Return the code of a refused login, if it is one that is known: what a stranger says is not repeated."""
    try:
        error = answer.json().get("error")
    except (ValueError, AttributeError):
        return None
    return error if error in {"invalid_grant", "invalid_request", "invalid_client"} else None
