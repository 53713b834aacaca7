"""Writes a submission in one OJS journal: its metadata, its contributors, or a new draft. What OJS kept is read by others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import TerminalRecord
from shared.peers import ojs_shapes as shapes
from shared.peers.ojs_client import Client
from shared.peers.ojs_reading import Reader

MANAGER, AUTHOR = 16, 65536
"""OJS's ids of roles."""
PUBLISHED = 3
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Writer:
    """Writes in the journal that `reader` reads. OJS knows no precondition: the last write wins there."""

    reader: Reader

    @property
    def client(self) -> Client:
        """What asks the journal."""
        return self.reader.client

    def write(self, external: str | None, fields: Row, key: str) -> str:
        """Make a submission's fields as given, only where they differ, and return its id; without an id, make a draft.

        TerminalRecord where OJS refuses it, or this version cannot. What OJS drops without a word stays unsaid here.
        """
        id = external or self._made_before(key) or self._make(fields, key)
        row = self.reader.submission(id)
        publication = self.reader.publication(row)
        held = shapes.submission(row, publication, self.client.journal.zone)
        at = f"submissions/{row['id']}/publications/{publication['id']}"
        old = self.reader.version in {"3.3", "3.4"}
        body = shapes.publication_changes(fields, held, old_words=old)
        wanted = fields.get("contributors", held["contributors"]) or []
        if (body or wanted != held["contributors"]) and old and publication.get("status") == PUBLISHED:
            raise TerminalRecord("published", "OJS up to 3.4 changes nothing that is published; make a new version there")
        if body:
            self.client.put(at, body)
        if wanted != held["contributors"] and self.reader.version != "3.3":
            self._write_contributors(at, wanted, shapes.authors(publication))
        return str(row["id"])

    def _made_before(self, key: str) -> str | None:
        """Return the draft that an earlier call made for this key, whose answer was lost."""
        for page in self.client.listed("submissions", {"isIncomplete": 1}):
            for each in page:
                if self._mark_of(each["id"]) == key:
                    return str(each["id"])
        return None

    def _mark_of(self, id: int) -> str | None:
        return shapes.marked(self.reader.submission(id).get("commentsForTheEditors"), self.client.journal.token())

    def _make(self, fields: Row, key: str) -> str:
        """Make a draft that carries the key, in a manager's name: made as an author, the account would no longer be shown who
        reviews it."""
        if self.reader.version == "3.3":
            raise TerminalRecord(
                "not-offered",
                "in OJS 3.3 a submission cannot be made so that a lost answer leaves no second one; make it there by hand",
            )
        body = {
            "sectionId": fields.get("section_id") or self._first_section(),
            "commentsForTheEditors": shapes.mark(key, self.client.journal.token()),
        }
        body |= {"locale": fields["locale"]} if fields.get("locale") else {}
        made = self.client.post("submissions", body | {"userGroupId": self._group(MANAGER)})
        return str(self.reader.own(made, "contextId")["id"])

    def _first_section(self) -> Any:
        sections = next(iter(self.client.listed("sections", {})), [])
        return sections[0]["id"] if sections else None

    def _group(self, role: int) -> int:
        """Return the user group of a role, as the journal's users show it; the role's own has the lowest id."""
        groups = {group["id"] for group in self._groups(role) if group.get("roleId") == role}
        if not groups:
            raise TerminalRecord(
                "no-group", f"{self.client.journal.at}: nobody there has the OJS role {role}; give it to somebody"
            )
        return int(min(groups))

    def _groups(self, role: int) -> Iterator[Row]:
        for page in self.client.listed("users", {"roleIds": role}):
            for each in page:
                yield from each.get("groups") or []

    def _write_contributors(self, at: str, wanted: list[Row], there: list[Row]) -> None:
        """Make the contributors those wanted, in their order. Whoever has the same e-mail address, or else name, is the same."""
        left = list(there)
        order: list[int] = []
        for each in wanted:
            found = next((one for one in left if _same_person(each, one)), None)
            if found:
                left.remove(found)
            order.append(self._write_contributor(at, each, found, there))
        for one in left:
            self.client.delete(f"{at}/contributors/{one['id']}")
        if order != [one["id"] for one in there]:
            self.client.put(f"{at}/contributors/saveOrder", {"sortedAuthors": order})

    def _write_contributor(self, at: str, wanted: Row, found: Row | None, there: list[Row]) -> int:
        body = shapes.contributor_body(wanted, self.reader.version)
        if found is None:
            made = self.client.post(f"{at}/contributors", body | self._role(there))
            return int(made["id"])
        if shapes.contributor(found) != dict(wanted):
            self.client.put(f"{at}/contributors/{found['id']}", body | self._role([found]))
        return int(found["id"])

    def _role(self, there: list[Row]) -> dict[str, Any]:
        """Return what a contributor is: as those who are there already, or an author."""
        first: Row = there[0] if there else {}
        if self.reader.version != "3.6":
            return {"userGroupId": first.get("userGroupId") or self._group(AUTHOR)}
        roles = [each["id"] for each in first.get("contributorRoles") or self._contributor_roles()]
        return {"contributorType": first.get("contributorType") or "PERSON", "contributorRoles": roles}

    def _contributor_roles(self) -> list[Row]:
        body = self.client.get("contributorRoles")
        found: list[Row] = body["items"] if isinstance(body, dict) else body
        return found[:1]


def _same_person(wanted: Row, there: Row) -> bool:
    if wanted.get("email") and there.get("email"):
        return bool(wanted["email"].lower() == there["email"].lower())
    return all(wanted.get(name) == shapes.contributor(there).get(name) for name in ("given_name", "family_name"))
