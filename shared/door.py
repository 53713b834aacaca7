"""The one function that a browser may reach: it leads to the others, each of which asks who calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Request, g, make_response
from flask.typing import ResponseReturnValue


def opened(request: Request, behind: Mapping[str, Callable[[Request], ResponseReturnValue]]) -> ResponseReturnValue:
    """Return what the function answers that the last part of the path names; 404 if it is not behind this door.

    That something needs somebody (503 of sync_health) is what a page asks for, and to a browser no failure: 200.
    """
    name = request.path.rpartition("/")[2]
    if name not in behind:
        message = f"there is no such function here; there are: {', '.join(behind)}"
        return {"success": False, "result": {}, "errors": [{"kind": "NotFound", "message": message}]}, 404
    g.function = name
    answer = make_response(behind[name](request))
    answer.status_code = 200 if answer.status_code == 503 else answer.status_code
    return answer
