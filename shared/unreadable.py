"""What a tracker answers to what is no event. Loaded with the functions, so it loads nothing of the sync before it has to."""

from __future__ import annotations

from flask import current_app, has_app_context
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from shared.errors import SyncError

UNREADABLE = "this is no CloudEvent of Firestore that can be read"


def answer() -> None:
    """Let the tracker that is being made answer 400 to what is no event, in words that repeat nothing of it; the framework's
    own answer would repeat all of it, and its log some."""
    if has_app_context() and current_app.name.startswith("track_"):
        current_app.register_error_handler(Exception, _answer)


def _answer(error: Exception) -> ResponseReturnValue:
    if isinstance(error, HTTPException) and error.code != 400:
        return error
    if isinstance(error, SyncError):
        from shared import wiring

        wiring.log()("sync_fail", str(error), "ERROR", function=current_app.name)
        return "the event could not be dealt with; the log says why", 500
    return UNREADABLE, 400
