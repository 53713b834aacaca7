"""What is kept in step in the simulation: things, which may refer to groups, and notes, which lie under a tenant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from shared.mapping import Entity, Field, Type
from shared.model import Policy, RecordId

MARK = "zQ"
"""In every value and every key, and nowhere else: what carries it must not be said aloud."""
TENANT = "site"

GROUP = Entity("group", "groups", (Field("name", Type.TEXT, "name"),))
THING = Entity(
    "thing",
    "things",
    (
        Field("a", Type.TEXT, "a"),  # the backend never has it null
        Field("b", Type.TEXT, "b"),
        Field("c", Type.JSON, "c"),  # the backend's may be a list in a list, which Firestore cannot hold
        Field("u", Type.TEXT, "uniq"),  # unique at the backend
        Field("g", Type.REFERENCE, "group", to="groups"),
    ),
)
NOTE = Entity("note", "sites/{tenant}/notes", (Field("t", Type.TEXT, "t"),))
ENTITIES = {entity.name: entity for entity in (GROUP, THING, NOTE)}
POLICIES: dict[str, dict[str, Policy]] = {
    "": {},
    "left": {"": Policy.LEFT_WINS},
    "right": {"": Policy.RIGHT_WINS},
    "merge": {"": Policy.MERGE},
    "manual": {"": Policy.MANUAL},
    "manual fields": {"a": Policy.MANUAL, "c": Policy.MANUAL, "b": Policy.LEFT_WINS},
    "manual records": {"": Policy.MANUAL, "b": Policy.LAST_WRITE_WINS, "c": Policy.RIGHT_WINS},
}
"""By the name of a configuration: the policy of all entities ("") and that of fields, where it is not the last write."""
OPTIONAL = "c"
"""The field of a thing that a change of the configuration takes out and puts back."""

GROUPS = (RecordId("group", MARK + "p"), RecordId("group", MARK + "q"))
THINGS = (RecordId("thing", MARK + "x"), RecordId("thing", MARK + "y"))
MORE = tuple(RecordId("thing", MARK + name) for name in "rst")
"""Things of a roaming world alone."""
NOTES = (RecordId("note", MARK + "n", TENANT),)


def configured(names: tuple[str, ...], without_optional: bool = False, policy: str = "") -> tuple[Entity, ...]:
    """Return the entities of a configuration, what is referred to first."""
    found = [ENTITIES[name] for name in ENTITIES if name in names]
    if without_optional:
        found = [replace(each, fields=tuple(field for field in each.fields if field.name != OPTIONAL)) for each in found]
    return tuple(_under(each, POLICIES[policy]) for each in found)


def _under(entity: Entity, policies: Mapping[str, Policy]) -> Entity:
    fields = tuple(replace(each, policy=policies.get(each.name)) for each in entity.fields)
    return replace(entity, policy=policies.get("", Policy.LAST_WRITE_WINS), fields=fields)
