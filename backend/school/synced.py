"""What of the schools is synced, for SYNC_QUEUE in the settings."""

from typing import Any

FIELDS = {
    "class": ("Class", "abbrev name kind parent active"),
    "subject": ("Subject", "name abbrev active"),
    "user": ("SchoolUser", "name abbrev email kind active"),
    "enrolment": ("Enrolment", "user school_class group subject role year active"),
}


def entities() -> list[dict[str, Any]]:
    """Return the declarations, as SYNC_QUEUE takes them."""
    return [
        {"entity": name, "model": f"school.{model}", "key": "key", "tenant": "tenant", "fields": fields.split()}
        for name, (model, fields) in FIELDS.items()
    ]
