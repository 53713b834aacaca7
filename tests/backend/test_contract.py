"""Generated requests against the running WSGI application, by the OpenAPI page that it serves."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
import syncqueue
from calls import MEMBER, MOUNT, Client, at, created
from hypothesis import HealthCheck, settings
from register.wsgi import application
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

PAGE = Path(syncqueue.__file__).with_name("openapi.yaml")
schema = schemathesis.openapi.from_path(PAGE)
schema.app = application
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


@schema.parametrize()
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_is_answered_off_the_contract(case: Any, client: Client) -> None:
    client.apply(created("1", at(1)))
    case.headers = {
        **(case.headers or {}),
        "Authorization": f"Token {client.token}",
        "Host": "localhost",
        "Accept-Encoding": "identity",
    }
    response = case.call(base_url=f"http://localhost{MOUNT.rstrip('/')}")
    case.validate_response(response, checks=CHECKS)


@pytest.mark.parametrize("entity", ["member", "branch"])
def test_answers_that_hold_something_keep_to_the_page(client: Client, entity: str) -> None:
    assert client.apply(created("1", at(1)))[0]["outcome"] == "applied"
    assert client.get("records/", entity=entity).status_code == 200
    assert set(MEMBER) == set(client.record("1")["fields"])
