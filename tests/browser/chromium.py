"""The browser: which one, how it is started, and what a machine may lack for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from local.errors import StackError
from local.pages import NO_NODE, npm

Opened = Callable[..., Any]
"""`opened(path, role, member)` returns the page that somebody with this role opens."""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


def missing() -> str | None:
    """Return what this machine lacks for these tests, in a sentence; None if it lacks nothing."""
    if program() is None:
        return "Chromium is missing: apt-get install chromium"
    try:
        npm()
    except StackError:
        return NO_NODE
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "playwright is missing: make venv"
    return None


def program() -> str | None:
    return shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")


def expect(locator: Any) -> Any:
    """Return Playwright's assertions about what a locator finds; they wait until they hold."""
    from playwright.sync_api import expect as of

    return of(locator)
