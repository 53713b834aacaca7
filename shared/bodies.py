"""What a caller sends: JSON of a bounded size and depth, as a request that makes sense."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from flask import Request
from pydantic import BaseModel, ValidationError

from shared.errors import BadRequest, BodyTooLarge

Body = TypeVar("Body", bound=BaseModel)
LARGEST = 1024 * 1024
"""Bytes; Cloud Run itself lets 32 MiB in, and the framework reads them all."""
MOST_PROBLEMS = 20
DEEPEST = 50
"""Levels of nesting; Firestore itself holds 20."""


def parse(request: Request, kind: type[Body]) -> Body:
    """Return the JSON body of a request; an empty one is all defaults. BadRequest names every wrong field."""
    body = _json(request)
    unknown = [name for name in body if name not in kind.model_fields] if isinstance(body, dict) else []
    untold = set(unknown[MOST_PROBLEMS:])  # each would take a kilobyte to tell of
    try:
        return kind.model_validate({name: body[name] for name in body if name not in untold} if untold else body)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        places = [f"{'.'.join(map(str, each['loc']))[:100] or 'body'}: {each['msg']}" for each in wrong[:MOST_PROBLEMS]]
        rest = max(len(wrong) - MOST_PROBLEMS, 0) + len(untold)
        more = f"; and {rest} more" if rest else ""
        raise BadRequest(f"{'; '.join(places)}{more}; valid: {', '.join(kind.model_fields)}") from None


def _json(request: Request) -> Any:
    """Return what the body holds, which is bounded in size and depth; NaN and Infinity are no JSON."""
    raw = request.get_data()
    if len(raw) > LARGEST:
        raise BodyTooLarge(f"the body is over {LARGEST >> 20} MiB; ask for less at a time")
    try:
        body = json.loads(raw, parse_constant=_no_constant) if raw else {}
    except (ValueError, RecursionError):
        raise BadRequest("the body is no JSON") from None
    if _is_deeper(body, DEEPEST):
        raise BadRequest(f"the body is nested more than {DEEPEST} levels deep")
    return body


def _no_constant(_: str) -> Any:
    raise ValueError


def _is_deeper(value: Any, levels: int) -> bool:
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in below)
