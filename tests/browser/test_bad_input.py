"""What goes wrong around the pages: signed out, a role taken away, functions or Firestore out of reach. It is said on the page
where the user looks, and nothing typed is lost."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import pytest
from browser.chromium import Opened, expect
from browser.scenes import ANNA, members, open_conflict
from real import Real

from local.site import Site
from local.stack import Stack

pytestmark = pytest.mark.stack


def token(**claims: Any) -> str:
    """Return a token without a signature, as people have beside the emulator."""
    parts = [json.dumps(each).encode() for each in ({"alg": "none", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(each).decode().rstrip("=") for each in parts) + "."


def claims_in(sent: str) -> dict[str, Any]:
    payload = sent.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


MEANWHILE: dict[str, tuple[dict[str, Any], int, str]] = {
    # what the user's token came to say meanwhile, what the functions answer, what the page says
    "signed out": ({"exp": 1}, 401, "You are no longer signed in. Sign in again; what you typed stays here."),
    "another role": ({"bothways": "viewer"}, 403, "needs the role operator, and yours is viewer; an admin can give it to you"),
    "no role": ({"bothways": None}, 403, "you are signed in, but have no role here"),
}


@pytest.mark.parametrize("changed, status, said", MEANWHILE.values(), ids=MEANWHILE)
def test_whoever_may_not_any_more_is_told_where_they_look_and_keeps_what_they_typed(
    opened: Opened, world: Real, changed: dict[str, Any], status: int, said: str
) -> None:
    members(world)
    open_conflict(world)
    page = opened("/#conflicts", expected=status)

    def later(route: Any) -> None:
        sent = claims_in(route.request.headers["authorization"])
        route.continue_(headers=route.request.headers | {"authorization": f"Bearer {token(**sent | changed)}"})

    page.route("**/api/resolve_conflict", later)
    page.get_by_label("Note").fill("asked her")
    page.get_by_role("button", name="Write another value").click()
    page.get_by_label("Another value").fill("555 9999")
    page.get_by_role("button", name="Write this on both sides").click()
    card = page.get_by_role("article", name="Conflict in phone")
    expect(card.get_by_role("alert")).to_contain_text(said)
    expect(card.get_by_label("Note")).to_have_value("asked her")
    expect(card.get_by_label("Another value")).to_have_value("555 9999")
    assert len(world.rows("sync_conflicts", status="open")) == 1


@dataclass
class Down:
    """The stack with functions that are down."""

    house: Stack
    functions_url: str = "http://127.0.0.1:9"

    @property
    def emulator_host(self) -> str:
        return self.house.emulator_host

    @property
    def project(self) -> str:
        return self.house.project


@pytest.mark.parametrize("name", ["overview", "runs", "record", "reconcile"])
def test_with_the_functions_down_each_page_that_asks_them_says_so(opened: Opened, world: Real, name: str) -> None:
    members(world)
    page = opened("/", expected=502)
    with Site(Down(world.stack)) as site:  # type: ignore[arg-type]
        page.goto(f"{site.url}/#{name}")
        expect(page.get_by_role("alert").first).to_contain_text("The functions do not answer. Nothing was lost")
        page.goto(f"{site.url}/#runs")
        expect(page.locator("tbody tr")).to_have_count(len(world.rows("sync_runs")))
        page.context.close()


def cut_off(page: Any, world: Real) -> None:
    page.route(f"http://{world.stack.emulator_host}/**", lambda route: route.abort("internetdisconnected"))


def sign_in(page: Any, path: str, role: str) -> None:
    page.evaluate("role => sessionStorage.setItem('bothways-local-role', JSON.stringify({role}))", role)
    page.goto(page.url.partition("#")[0] + path)
    page.reload()


@pytest.mark.parametrize("path, wrong", [("#conflicts", "Nobody has to decide anything."), ("#runs", "No run yet.")])
def test_a_list_that_was_never_read_is_not_said_to_be_empty(opened: Opened, world: Real, path: str, wrong: str) -> None:
    members(world)
    open_conflict(world)
    page = opened("/", role=None, expected=503)
    cut_off(page, world)
    sign_in(page, path, "operator")
    expect(page.get_by_text("No connection since")).to_be_visible(timeout=60_000)
    expect(page.locator("#content").get_by_text("Loading …")).to_be_visible()
    expect(page.get_by_text(wrong)).to_have_count(0)
    page.unroute(f"http://{world.stack.emulator_host}/**")
    expect(page.locator("#content").get_by_text("Loading …")).to_have_count(0, timeout=60_000)
    expect(page.get_by_text("No connection since")).to_have_count(0)


# Signed in by Firebase


@dataclass
class Firebase:
    """Google's sign-in, as far as the SDK asks it; one password is right. Firestore itself is out of reach."""

    project: str
    role: str | None = "operator"

    def serve(self, page: Any) -> None:
        config = {"projectId": self.project, "apiKey": "public", "authDomain": "demo.example"}
        page.route("**/__/firebase/init.json", lambda route: route.fulfill(json=config))
        page.route("https://identitytoolkit.googleapis.com/**", self.identity)
        page.route("https://securetoken.googleapis.com/**", self.fresh)
        page.route("https://firestore.googleapis.com/**", lambda route: route.abort("internetdisconnected"))

    def token(self) -> str:
        issuer, more = f"https://securetoken.google.com/{self.project}", {"iat": 1_700_000_000, "exp": 4_000_000_000}
        role = {"bothways": self.role} if self.role else {}
        return token(iss=issuer, aud=self.project, sub="uid-anna", user_id="uid-anna", auth_time=1_700_000_000, **more, **role)

    def identity(self, route: Any) -> None:
        asked = route.request.post_data_json or {}
        user = {"localId": "uid-anna", "email": "anna@example.is"}
        if "lookup" in route.request.url:
            route.fulfill(json={"users": [user]}, headers=ANYBODY)
        elif asked.get("password") == "right":
            route.fulfill(json=user | {"idToken": self.token(), "refreshToken": "r", "expiresIn": "3600"}, headers=ANYBODY)
        else:
            route.fulfill(status=400, json={"error": {"code": 400, "message": "INVALID_LOGIN_CREDENTIALS"}}, headers=ANYBODY)

    def fresh(self, route: Any) -> None:
        found = {"id_token": self.token(), "access_token": self.token(), "refresh_token": "r", "expires_in": "3600"}
        route.fulfill(json=found | {"user_id": "uid-anna"}, headers=ANYBODY)


ANYBODY = {"Access-Control-Allow-Origin": "*"}


def enter(page: Any, password: str) -> None:
    page.get_by_label("Email").fill("anna@example.is")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_people_sign_in_by_email_and_password_and_their_role_is_the_one_they_have_now(opened: Opened, world: Real) -> None:
    firebase = Firebase(world.stack.project)
    page = opened("/", role=None, expected=400)
    firebase.serve(page)
    page.goto(page.url.partition("#")[0] + "#runs")
    page.reload()
    enter(page, "wrong")
    expect(page.get_by_role("alert")).to_contain_text("That email and password do not belong together.")
    expect(page.get_by_label("Email")).to_have_value("anna@example.is")
    enter(page, "right")
    expect(page.get_by_role("button", name="Dry run")).to_be_enabled()
    firebase.role = "viewer"
    page.get_by_role("button", name="Sign out").click()
    enter(page, "right")
    expect(page.get_by_text("Starting a run needs the role operator.")).to_be_visible()
    firebase.role = None
    page.get_by_role("button", name="Sign out").click()
    enter(page, "right")
    expect(page.get_by_role("heading", name="No role yet")).to_be_visible()


def test_a_members_page_of_somebody_else_is_told_to_be_read_only_in_part(opened: Opened, world: Real) -> None:
    members(world)
    page = opened(f"/profile#{ANNA}", role="none")
    expect(page.get_by_text("told to the member alone, and to operators")).to_be_visible()
