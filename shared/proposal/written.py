"""A proposal as the text of a sync.yaml, with comments. Pure."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from shared.proposal.seen import SeenEntity, SeenField

PLAIN = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null|none)$)[A-Za-z_][A-Za-z0-9_/{}-]*", re.IGNORECASE)
"""What YAML takes for a text without quotes; braces only within."""
HEAD = """# Proposed by `bothways init`: what is kept in step with what. Lines with `unsure` want a look.
# `bothways doctor` checks it against both sides; docs/how-to.md says what else may stand here.
# `${{NAME}}` is taken from the environment, `secret:NAME` is taken from Secret Manager.
version: 1

peers:
  django:
    kind: rest_queue
    url: {url}
    token: secret:{token}
  firestore:
    kind: firestore
    project: {project}

pairs:
  {pair}:
    left: django
    right: firestore
    initial_winner: django # where both sides hold a record before the first sync, and differ
    entities: # in the order in which they are carried: what is referred to comes first
"""


@dataclass(frozen=True, slots=True)
class Proposal:
    """All that goes into the file."""

    url: str
    token: str
    project: str
    pair: str
    entities: Sequence[SeenEntity]

    def text(self) -> str:
        """Return the file."""
        head = HEAD.format(url=_scalar(self.url), token=self.token, project=_scalar(self.project), pair=self.pair)
        return head + "".join(f"{line}\n" for entity in self.entities for line in _entity(entity))

    def unsure(self) -> list[str]:
        """Return what nobody could know for certain."""
        fields = [
            f"{entity.name}.{each.name}: {note}" for entity in self.entities for each in entity.fields for note in each.notes
        ]
        return [f"{each.name}: {note}" for each in self.entities for note in each.notes if not _is_figure(note)] + fields


def _is_figure(note: str) -> bool:
    return note.endswith("documents looked at")


def _entity(entity: SeenEntity) -> Iterator[str]:
    yield f"      {_scalar(entity.name)}:{_comment(entity.notes)}"
    yield f"        collection: {_scalar(entity.collection)}"
    if entity.has_tenants:
        yield "        tenants: [TENANT]"
    yield f"        key: {_scalar(entity.key)}"
    yield "        fields:"
    yield from (f"          {_scalar(each.name)}: {_field(each)}{_comment(each.notes)}" for each in entity.fields)
    yield from (f"          # not synced: {_one_line(each)}" for each in entity.left_out)


def _field(field: SeenField) -> str:
    more = {"places": field.places, "to": field.to, "firestore": field.firestore, "empty": field.empty}
    said = {name: value for name, value in more.items() if value is not None}
    if not said:
        return str(field.type)
    return "{" + ", ".join([f"type: {field.type}", *(f"{name}: {_scalar(value)}" for name, value in said.items())]) + "}"


def _comment(notes: Sequence[str]) -> str:
    told = [note if _is_figure(note) else f"unsure: {note}" for note in notes]
    return f" # {_one_line('; '.join(told))}" if told else ""


def _one_line(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    if PLAIN.fullmatch(value):
        return value
    return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=sys.maxsize).rstrip("\n")
