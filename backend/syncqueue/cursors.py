"""Cursors: sealed, so that no key is readable in one; good for an hour, with the same filters."""

import base64
import hashlib
import json
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

from .http import BadRequest

SECONDS = 3600


def seal(place: list[Any], filters: Any) -> str:
    """Return the cursor that goes on after `place`."""
    return _box().encrypt(json.dumps([place, _bound(filters)]).encode()).decode()


def unseal(cursor: str | None, filters: Any) -> list[Any] | None:
    """Return the place, or None for no cursor. Raise BadRequest where it is not ours, too old, or of other filters."""
    if not cursor:
        return None
    try:
        place, bound = json.loads(_box().decrypt(cursor.encode(), ttl=SECONDS))
    except (InvalidToken, ValueError):
        raise BadRequest("the cursor is not good", ("cursor", "unknown, or older than an hour; begin anew")) from None
    if bound != _bound(filters):
        raise BadRequest("the cursor is not good", ("cursor", "made with other filters; begin anew"))
    return list(place)


def _bound(filters: Any) -> str:
    return hashlib.sha256(json.dumps(filters, sort_keys=True).encode()).hexdigest()[:16]


def _box() -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"syncqueue cursor" + settings.SECRET_KEY.encode()).digest()))
