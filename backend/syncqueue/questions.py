"""Reads what a call asks for: parameters of the query string, parts of a body. Raises BadRequest, naming the place."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from .access import Caller, Denied
from .http import BadRequest
from .registry import Entity, registry

_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_SHARD = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)
MOST = 1000


@dataclass(frozen=True)
class Shard:
    """Only keys whose hash modulo `count` is `number`."""

    number: int
    count: int


def number_of(request: HttpRequest, name: str, low: int, high: int, default: int) -> int:
    """Return a whole number of the query string."""
    text = request.GET.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not low <= int(text) <= high:
        raise BadRequest("a parameter is wrong", (name, f"expected a whole number from {low} to {high}"))
    return int(text)


def entity_of(name: Any) -> Entity:
    """Return the entity of that name."""
    if not isinstance(name, str) or name not in registry().entities:
        raise BadRequest("there is no such entity", ("entity", f"expected one of {', '.join(registry().entities)}"))
    return registry().entities[name]


def queued_of(name: str) -> str:
    """Return the name of an entity that may be in the queue: one of a model, or one whose events are published."""
    return name if name in registry().published else entity_of(name).name


def tenant_of(request: HttpRequest, caller: Caller) -> str | None:
    """Return the tenant asked for, "" for records without one, None for no filter. Raise Denied (403)."""
    tenant = request.GET.get("tenant")
    if tenant is not None:
        check_tenant(tenant, caller)
    return tenant


def check_tenant(tenant: str, caller: Caller) -> None:
    """Raise Denied (403) where the token may not touch the tenant, BadRequest where no database takes the text."""
    if not storable_text(tenant):
        raise BadRequest("a parameter is wrong", ("tenant", "expected text that can be stored"))
    if not caller.may_touch(tenant):
        raise Denied(403, "the token may not touch this tenant")


def shard_of(request: HttpRequest) -> Shard | None:
    """Return the shard asked for, or None."""
    text = request.GET.get("shard")
    if text is None:
        return None
    found = _SHARD.fullmatch(text)
    if not found or int(found[1]) >= int(found[2]):
        raise BadRequest("a parameter is wrong", ("shard", "expected i/n with i < n"))
    return Shard(int(found[1]), int(found[2]))


def bucket_of(request: HttpRequest) -> Shard | None:
    """Return the bucket asked for, or None."""
    if ("bucket" in request.GET) != ("buckets" in request.GET):
        raise BadRequest("a parameter is wrong", ("bucket", "expected with buckets, or neither"))
    if "bucket" not in request.GET:
        return None
    buckets = number_of(request, "buckets", 1, 4096, 1)
    return Shard(number_of(request, "bucket", 0, buckets - 1, 0), buckets)


def filters_of(request: HttpRequest) -> dict[str, Any]:
    """Return all parameters but `limit` and `cursor`: a cursor is good only with these."""
    return {name: request.GET.getlist(name) for name in request.GET if name not in ("limit", "cursor")} | {"path": request.path}


def texts_of(body: Mapping[str, Any], name: str, required: bool = False) -> list[str]:
    """Return a list of at most 1000 texts."""
    items = list_of(body, name, required)
    for number, item in enumerate(items):
        if not isinstance(item, str):
            raise BadRequest("the body is wrong", (f"{name}.{number}", "expected text"))
    return items


def list_of(body: Mapping[str, Any], name: str, required: bool = False) -> list[Any]:
    """Return a list of at most 1000 items."""
    if name not in body and not required:
        return []
    items = body.get(name)
    if not isinstance(items, list) or len(items) > MOST:
        raise BadRequest("the body is wrong", (name, f"expected a list of at most {MOST}"))
    return items


def text_of(body: Mapping[str, Any], name: str) -> str:
    """Return a text that can be stored."""
    text = body.get(name)
    if not isinstance(text, str) or not storable_text(text):
        raise BadRequest("the body is wrong", (name, "expected text"))
    return text


def storable_text(text: str) -> bool:
    """Return whether a database takes the text: no zero character, no half surrogate pair."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
