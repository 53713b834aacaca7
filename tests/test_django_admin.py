"""The buttons of Django's admin against the real functions: a conflict that is decided there is decided on both sides."""

from __future__ import annotations

import re

import pytest
import requests
from real import Real

pytestmark = pytest.mark.stack
KEY = "0101302989"
OFFICE, MEMBER = "581 2345", "555 0199"


def office(real: Real) -> tuple[requests.Session, str]:
    """Return the browser of somebody who is logged in to the admin, and where that is."""
    backend = real.stack.backend
    assert backend is not None
    backend.set_admin("only-for-this-test")
    browser, site = requests.Session(), f"{backend.site}/admin"
    browser.get(f"{site}/login/", timeout=30).raise_for_status()
    form = {"username": "admin", "password": "only-for-this-test", "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    assert "Log out" in browser.post(f"{site}/login/?next=/admin/", form, timeout=30).text
    return browser, site


def test_the_office_takes_its_value_back_and_both_sides_have_it(real: Real) -> None:
    real.users.call("save", entity="member", key=KEY, fields={"name": "Anna", "phone": None})
    real.sync()
    real.users.call("save", entity="member", key=KEY, fields={"phone": OFFICE})
    real.firestore.document(f"members/{KEY}").update({"phone": MEMBER})
    real.wait_for_queue(1, key=KEY)
    real.sync()
    [kept] = real.rows("sync_conflicts", key=KEY)
    browser, site = office(real)
    page = f"{site}/syncqueue/syncconflict/{kept['__id__']}"
    shown = browser.get(f"{page}/change/", timeout=30).text
    assert (OFFICE in shown, MEMBER in shown, shown.count("Keep this one")) == (True, True, 2)
    form = {"side": "local", "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    said = browser.post(f"{page}/keep/", form, headers={"Referer": page}, timeout=60).text
    assert "Both sides have this value now." in said, re.findall(r'class="error">(.*?)</li>', said)
    [resolved] = real.rows("sync_conflicts", key=KEY)
    assert (resolved["status"], resolved["resolved_by"]) == ("resolved", "admin")
    document = real.document(f"members/{KEY}") or {}
    assert document["phone"] == OFFICE
    assert real.moved(real.sync()) == 0, "and no run has anything left to do"
    assert real.stack.operator_token not in shown + said
