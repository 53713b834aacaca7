"""The stack as `make up` starts it: this repository's own backend and functions."""

import json

import pytest

from local.stack import Stack
from local.web import call

pytestmark = pytest.mark.stack

LOGIN = """
import os
from django.contrib.auth import authenticate
print(authenticate(username="admin", password=os.environ["TRIED"]))
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("real") / "stack", members=3) as stack:
        yield stack


def test_the_functions_reach_the_backend_and_firestore(stack):
    operator = {"Authorization": f"Bearer {stack.operator_token}"}
    status, body = call("POST", f"{stack.functions_url}/bidirectional_sync", {}, operator)
    assert (status, json.loads(body)["errors"]) == (200, [])
    client = stack.firestore()
    assert len(list(client.collection("members").stream())) == 3
    client.close()


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}], ids=["none", "wrong"])
def test_without_the_operators_token_nothing_runs(stack, headers):
    assert call("POST", f"{stack.functions_url}/bidirectional_sync", {}, headers)[0] in {401, 403}


def test_the_admin_can_log_in_with_the_printed_password_as_often_as_it_is_set(stack):
    for password in ("first-password", "second-password"):
        stack.backend.set_admin(password)
        assert stack.backend.manage("shell", "-c", LOGIN, TRIED=password).strip().endswith("admin")
    assert stack.backend.manage("shell", "-c", LOGIN, TRIED="first-password").strip().endswith("None")
    assert call("GET", f"{stack.backend.site}/static/admin/css/base.css")[0] == 200
