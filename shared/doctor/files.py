"""Checks of the files beside sync.yaml: trackers in functions/main.py, blocks in firestore.rules. Pure: texts in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from shared.doctor.finding import Finding, failed, ok, warning

TRACKER = '''@functions_framework.cloud_event
def track_{entity}_changes(event: CloudEvent) -> None:
    """Queue what was written to a document of {entity}."""
    from shared import events

    events.receive(event, "{entity}")'''
"""What functions/main.py has for each entity."""
RULES = """match /{path}/{{id}} {{
      allow read: if signedIn();
      allow create: if signedIn() && withoutSync();
      allow update: if signedIn() && sameSync();
      allow delete: if isAdmin();
    }}"""
"""What firestore.rules has for each collection; the functions in it stand at the top of the project's own file."""


def trackers(source: str, entities: Sequence[str]) -> Iterator[Finding]:
    """Yield which entities have no tracker in the text of functions/main.py."""
    lacking = [each for each in entities if not re.search(rf"^def track_{re.escape(each)}_changes\(", source, re.MULTILINE)]
    for each in lacking:
        message = f"functions/main.py has no track_{each}_changes, so edits of {each} in Firestore wait for a full reconcile"
        yield failed("trackers", message, f"copy one that is there, with {each} in its name and in its last line")
    if not lacking:
        yield ok("trackers", f"functions/main.py has all {len(entities)}")


def rules(source: str, collections: Mapping[str, str]) -> Iterator[Finding]:
    """Yield which collections the rules let nobody into, or let somebody write the sync's own field; `collections` by entity."""
    troubles = [found for entity, path in collections.items() for found in _block(source, entity, path)]
    yield from troubles or [ok("rules", f"firestore.rules has a block for each of {len(collections)} collections")]


def _block(source: str, entity: str, path: str) -> Iterator[Finding]:
    found = re.search(rf"match /{_pattern(path)}/\{{\w+\}} \{{(.*?)\n    \}}", source, re.DOTALL)
    if found is None:
        message = f"firestore.rules has no block for {path}, so no client may read or write a {entity}"
        yield warning("rules", message, "copy the block of another collection, with that path")
        return
    for action, condition in re.findall(r"allow ([\w, ]+)(?:: if (.*?))?;", found[1], re.DOTALL):
        if re.search("create|update|write", action) and not re.search("_sync|withoutSync|sameSync", condition):
            message = f"firestore.rules lets clients write `_sync` in {path} (allow {action})"
            yield failed("rules", message, "add `&& withoutSync()` to create, and `&& sameSync()` to update")


def _pattern(path: str) -> str:
    return "/".join(r"\{\w+\}" if part == "{tenant}" else re.escape(part) for part in path.split("/"))


def published(source: str, there: str | None, where: str) -> Finding:
    """Return whether the rules in force are those of the file."""
    if there is None:
        return failed("rules", f"{where} has no rules in force", "./deploy.sh --only rules")
    if there.strip() != source.strip():
        return warning("rules", f"the rules in force in {where} are not those in firestore.rules", "./deploy.sh --only rules")
    return ok("rules", f"the rules in force in {where} are those in firestore.rules")
