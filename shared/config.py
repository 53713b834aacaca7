"""sync.yaml and the environment -> frozen settings. Every problem is reported at once, before anything starts."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from shared import mapping
from shared.errors import ConfigError, TerminalRecord
from shared.mapping import SYNC_FIELD, Type
from shared.model import Policy
from shared.specs.bakalari import BakalariSpec
from shared.specs.base import FirestoreSpec, Part, PolledSpec, PricesSpec, RestQueueSpec
from shared.specs.neo4j import OWN_PROPERTIES, Neo4jSpec
from shared.specs.ojs import OjsSpec

NAME = r"^[a-z][a-z0-9_-]{0,31}$"
Name = Annotated[str, Field(pattern=NAME)]


class FieldSpec(Part):
    """A synced field. One with nothing but a type may be written short: `name: text`."""

    type: Type
    """What its values are, on both sides."""
    firestore: str | None = Field(None, min_length=1)
    """Its name in Firestore, or in a graph, where that is another than the backend's."""
    places: int | None = Field(None, ge=0, le=30)
    """Of a decimal: how many places it has."""
    to: str | None = None
    """Of a reference: the entity that it points to, of the same pair."""
    empty: Any = None
    """What stands for nothing at a backend that has no null there. A set's is the empty list."""
    policy: Policy | None = None
    """How its conflicts are settled; the entity's, if it names none."""

    @property
    def nothing(self) -> Any:
        """What both sides write where there is nothing."""
        return [] if self.empty is None and self.type is Type.SET else self.empty


def _short_form(value: object) -> object:
    return {"type": value} if isinstance(value, str) else value


class EntitySpec(Part):
    """A kind of record. Entities are carried in the order in which they stand: what others refer to comes first."""

    collection: str = Field("", pattern=r"^[^/{}]+(/(\{tenant\}|[^/{}]+)/[^/{}]+)*$")
    """Where its documents lie in Firestore, with `{tenant}` where it has tenants; in a graph its label, or its type. Must be
    given where a side is Firestore."""
    key: str = "id"
    """The name of its key at the backend. It is no field, and must never change."""
    fields: dict[str, Annotated[FieldSpec, BeforeValidator(_short_form)]] = Field(min_length=1)
    """Its synced fields, by their names at the backend. What is not listed is left alone on both sides."""
    tenants: tuple[str, ...] = ()
    """The tenants that have such records; records of two tenants never meet."""
    policy: Policy | None = None
    """How its conflicts are settled, deletes and all fields that name no policy; the pair's, if it names none."""
    ends: tuple[str, str] | None = None
    """In a graph: the two references, from where to where, that make it a relationship."""
    published: bool = False
    """The backend has only events of it: they are carried, and never compared."""


class Limits(Part):
    """How much at a time, for how long, and at what cost."""

    page_size: int = Field(500, ge=1, le=1000)
    """Changes or records that are read and written at a time."""
    run_seconds: float = Field(480, gt=0, le=1700)
    """After so long a run ends by itself; the next one goes on."""
    retry_attempts: int = Field(10, ge=1)
    """So many attempts, and `retry_hours`, must have passed before a change that is only ever put off is a dead letter."""
    retry_hours: float = Field(24, ge=0)
    """See `retry_attempts`."""
    billed_operations: int | None = Field(None, ge=1)
    """At so many reads, writes and deletes that Firestore bills, a run stops; the next one goes on."""
    shard_threshold: int | None = Field(None, ge=1)
    """From so many waiting changes on, a run is handed out to other instances, where there is a task queue."""
    shards: Literal[4, 8, 16, 32, 64] = 16
    """Into so many parts."""


class Health(Part):
    """When sync_health says that something is wrong."""

    oldest_pending_hours: float = Field(26, gt=0)
    """A change has waited for longer."""
    last_success_hours: float | None = Field(None, gt=0)
    """No run has gone through for longer. Where this is not set: since a second run was planned by `schedule`."""
    clock_seconds: float = Field(60, gt=0)
    """The two sides' clocks are further apart."""


def _planned(cron: str) -> str:
    try:
        next(CronSim(cron, datetime.now(UTC)))
    except (CronSimError, StopIteration):
        raise ValueError("names no time; five fields as of crontab are, such as `30 3 * * *`") from None
    return cron


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError("is no time zone; they are named as Atlantic/Reykjavik is") from None
    return name


class Schedule(Part):
    """When a pair is synced by Cloud Scheduler."""

    cron: Annotated[str, AfterValidator(_planned)] = Field("30 3 * * *", pattern=r"^\S+( \S+){4}$")
    """Five fields, as a crontab has them."""
    time_zone: Annotated[str, AfterValidator(_known_zone)] = "Atlantic/Reykjavik"
    """The zone of those times."""


class RealTime(Part):
    """A change is carried soon after it was made, where there is a task queue. Without this part, it waits for the next run."""

    seconds: float = Field(5, ge=1, le=3600)
    """All that was made in the same so many seconds is carried by one run, and one more at most."""


class PairSpec(Part):
    """Two peers and the entities that they share."""

    left: str
    """One peer's name; a policy speaks of it as `left_wins`."""
    right: str
    """The other's."""
    entities: dict[Name, EntitySpec] = Field(min_length=1)
    """What they share, by the names that the backend knows."""
    policy: Policy = Policy.LAST_WRITE_WINS
    """How conflicts are settled in every entity and field that names no policy."""
    initial_winner: str | None = None
    """The peer whose values win where both held a record before the first sync, and differ; none: the later write does."""
    limits: Limits = Limits()
    """How much at a time."""
    health: Health = Health()
    """When something is wrong."""
    schedule: Schedule = Schedule()
    """When it runs."""
    real_time: RealTime | None = None
    """Whether changes are carried at once."""

    def mapped(self) -> list[mapping.Entity]:
        """Return the entities as the peers use them."""
        return [
            mapping.Entity(
                name, spec.collection, tuple(self._fields(spec)), spec.policy or self.policy, spec.ends, spec.published
            )
            for name, spec in self.entities.items()
        ]

    def _fields(self, spec: EntitySpec) -> Iterator[mapping.Field]:
        for name, each in spec.fields.items():
            target = self.entities[each.to].collection if each.to else None
            yield mapping.Field(name, each.type, each.firestore or name, each.places, target, each.nothing, each.policy)


PeerSpec = RestQueueSpec | FirestoreSpec | BakalariSpec | OjsSpec | Neo4jSpec
KINDS: Mapping[str, type[Part]] = {
    "rest_queue": RestQueueSpec,
    "firestore": FirestoreSpec,
    "bakalari": BakalariSpec,
    "ojs": OjsSpec,
    "neo4j": Neo4jSpec,
}
"""All kinds of peers by the name under which sync.yaml knows them: the members of `PeerSpec`."""
POLLED = frozenset(name for name, kind in KINDS.items() if issubclass(kind, PolledSpec))


class Settings(Part):
    """All of sync.yaml."""

    version: Literal[1]
    """That of this format."""
    peers: dict[Name, Annotated[PeerSpec, Field(discriminator="kind")]] = Field(min_length=1)
    """The systems, by names of your choice."""
    pairs: dict[Name, PairSpec] = Field(min_length=1)
    """What is kept in step with what, by names of your choice."""

    def pair_of(self, entity: str) -> str:
        """Return the name of the pair that syncs an entity: that with Firestore, if there is one."""
        named = [name for name, pair in self.pairs.items() if entity in pair.entities]
        return next((name for name in named if self.has_firestore(self.pairs[name])), named[0])

    def has_firestore(self, pair: PairSpec) -> bool:
        """Return whether one side of a pair is Firestore."""
        return any(isinstance(self.peers[side], FirestoreSpec) for side in (pair.left, pair.right))


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings in the file at `path`; ConfigError with every problem in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read ({error.strerror}); name it in SYNC_CONFIG"]) from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), ["is not in UTF-8; save it as that"]) from None
    return parse(text, path.name, environment)


def parse(text: str, source: str, environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings in `text`, with `${NAME}` replaced from the environment."""
    problems: list[str] = []
    try:
        raw = yaml.load(text, _loader(problems))  # noqa: S506  # a SafeLoader that notices repeated names
    except yaml.YAMLError as error:
        raise ConfigError(source, [f"is no YAML: {' '.join(str(error).split())}"]) from None
    raw = _filled(raw, environment, "", problems)
    settings = None
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        problems += [_problem(dict(each)) for each in error.errors(include_url=False, include_input=False)]
    problems += _contradictions(raw)
    if problems or settings is None:
        raise ConfigError(source, problems)
    return settings


def _loader(problems: list[str]) -> type[yaml.SafeLoader]:
    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
            seen: set[str] = set()
            for name, _ in node.value:
                if not isinstance(name, yaml.ScalarNode):
                    raise yaml.constructor.ConstructorError(None, None, "a name must be a text", name.start_mark)
                if name.value in seen:
                    problems.append(f"line {name.start_mark.line + 1}: {name.value!r} stands here a second time")
                seen.add(name.value)
            return super().construct_mapping(node, deep)

    return Loader


def _filled(value: Any, environment: Mapping[str, str], place: str, problems: list[str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, environment, f"{place}.{name}".strip("."), problems) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, environment, f"{place}.{number}", problems) for number, each in enumerate(value)]
    if not isinstance(value, str):
        return value

    def found(match: re.Match[str]) -> str:
        name = match[1]
        if not environment.get(name):
            problems.append(f"{place}: the environment variable {name} is not set")
            return f"https://{name}.unset"
        return environment[name]

    return re.sub(r"\$\{(\w+)\}", found, value)


_SECTIONS: Mapping[str, type[Part]] = {"limits": Limits, "health": Health, "schedule": Schedule, "real_time": RealTime}
_PARTS: Mapping[int, type[Part]] = {0: Settings, 2: PairSpec, 4: EntitySpec, 6: FieldSpec}


def _problem(error: dict[str, Any]) -> str:
    place = [str(part) for part in error["loc"]] or ["the whole file"]
    if error["type"] == "extra_forbidden":
        return f"{'.'.join(place)}: no such setting; valid here: {', '.join(_valid(place[:-1]))}"
    return f"{'.'.join(place)}: {error['msg']}"


def _valid(place: list[str]) -> list[str]:
    if place[-1:] == ["prices"]:
        part: type[Part] = PricesSpec
    elif place[:1] == ["peers"]:
        part = next((kind for name, kind in KINDS.items() if name in place), FirestoreSpec)
    elif len(place) == 3 and place[2] in _SECTIONS:
        part = _SECTIONS[place[-1]]
    else:
        part = _PARTS.get(len(place), Settings)
    return list(part.model_fields)


def _contradictions(raw: Any) -> Iterator[str]:
    """Yield what is wrong between the parts, as far as the parts can be read."""
    peers = _dict(_dict(raw).get("peers"))
    homes: dict[str, str] = {}
    said: set[tuple[str, str]] = set()
    for name, pair in _dict(_dict(raw).get("pairs")).items():
        place, pair = f"pairs.{name}", _dict(pair)
        yield from _peer_problems(place, pair, peers)
        sides = [side for side in (_name(pair.get("left")), _name(pair.get("right"))) if side]
        kinds = {side: str(_dict(peers.get(side)).get("kind")) for side in sides}
        for entity, spec in _dict(pair.get("entities")).items():
            at = f"{place}.entities.{entity}"
            collection = _dict(spec).get("collection")
            places = {f"entity {entity!r} of {side}": f"entity {entity!r}" for side, kind in kinds.items() if kind not in POLLED}
            for where, what in (places | {str(collection): f"collection {str(collection)!r}"} if collection else places).items():
                if where in homes and (what, homes[where]) not in said:
                    said.add((what, homes[where]))
                    yield f"{at}: {what} is synced already by {homes[where]}; one pair each"
                homes[where] = at
            if collection is None and "firestore" in kinds.values():
                yield f"{at}.collection: Field required"
            yield from _entity_problems(at, _dict(spec), _dict(pair.get("entities")))
            yield from _tenant_problems(at, _dict(spec), {side: _dict(peers.get(side)) for side in kinds})


def _peer_problems(place: str, pair: dict[str, Any], peers: dict[str, Any]) -> Iterator[str]:
    named = {side: _name(pair.get(side)) for side in ("left", "right", "initial_winner")}
    for side, name in named.items():
        if name is not None and name not in peers:
            yield f"{place}.{side}: there is no peer {name!r}; there are: {_listed(peers)}"
    sides = [named["left"], named["right"]]
    if sides[0] is not None and sides[0] == sides[1]:
        yield f"{place}: left and right are the same peer"
        return
    if named["initial_winner"] in peers and named["initial_winner"] not in sides:
        yield f"{place}.initial_winner: {named['initial_winner']!r} is neither left nor right of the pair"
    kinds = sorted(str(_dict(peers.get(side or "")).get("kind")) for side in sides)
    if all(side in peers for side in sides) and (len(set(kinds)) == 1 or not set(kinds) & {"firestore", "rest_queue"}):
        can = "a rest_queue and a firestore can be paired, and any other kind with one of them"
        yield f"{place}: pairs a {kinds[0]} with a {kinds[1]}; {can}"
    elif kinds == ["firestore", "neo4j"]:
        yield f"{place}: pairs a firestore with a neo4j; a neo4j can be paired with a rest_queue"
    elif "neo4j" in kinds:
        yield from _graph_problems(place, _dict(pair.get("entities")))


def _graph_problems(place: str, entities: dict[str, Any]) -> Iterator[str]:
    for entity, spec in entities.items():
        fields = {name: _dict(_short_form(each)) for name, each in _dict(_dict(spec).get("fields")).items()}
        for name in {str(each.get("firestore") or name) for name, each in fields.items()} & OWN_PROPERTIES:
            yield f"{place}.entities.{entity}.fields: {name!r} is a property of the sync's own; choose another with `firestore:`"


def _entity_problems(at: str, spec: dict[str, Any], entities: dict[str, Any]) -> Iterator[str]:
    homes: dict[str, str] = {}
    fields = {name: _dict(_short_form(each)) for name, each in _dict(spec.get("fields")).items()}
    for name, each in fields.items():
        home = str(each.get("firestore") or name)
        if home == SYNC_FIELD or re.fullmatch("__.*__", home):
            yield f"{at}.fields.{name}: Firestore's field {home!r} is the sync's own; choose another with `firestore:`"
        if home in homes:
            yield f"{at}.fields.{name}: {homes[home]!r} is kept in {home!r} too; choose another with `firestore:`"
        homes[home] = name
        yield from _type_problems(f"{at}.fields.{name}", each, entities)
    if _name(spec.get("key")) in fields:
        yield f"{at}.fields.{spec['key']}: is the key, and is not listed among the fields"
    ends = spec.get("ends")
    if ends is not None and not all(_dict(fields.get(str(each))).get("type") == "reference" for each in ends):
        yield f"{at}.ends: names two fields of the type reference, from where to where a relationship runs"
    if "collection" in spec and bool(spec.get("tenants")) != ("{tenant}" in str(spec.get("collection"))):
        yield f"{at}: `tenants` and a `{{tenant}}` in `collection` go together"


def _tenant_problems(at: str, spec: dict[str, Any], sides: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield which tenants a polled side is not told how to ask."""
    asked = spec.get("tenants") if isinstance(spec.get("tenants"), list) else []
    for name, side in sides.items():
        kind = KINDS.get(str(side.get("kind")))
        if kind is None or not issubclass(kind, PolledSpec) or kind.tenants_in is None:
            continue
        known = _dict(side.get(kind.tenants_in))
        for tenant in asked or [None]:
            if tenant not in known:
                yield f"{at}.tenants: {tenant!r} is none of peer {name!r}; there are: {_listed(known)}"


def _type_problems(at: str, field: dict[str, Any], entities: dict[str, Any]) -> Iterator[str]:
    if (field.get("type") == "reference") != ("to" in field):
        yield f"{at}: a reference, and only that, names the entity it points to with `to`"
    to = _name(field.get("to"))
    if to is not None and to not in entities:
        yield f"{at}.to: there is no entity {to!r} in this pair; there are: {_listed(entities)}"
    if field.get("empty") is not None and _name(field.get("type")) in set(Type) - {Type.REFERENCE}:
        try:
            mapping.Field("", Type(field["type"]), "", field.get("places")).to_native(field["empty"], None)
        except TerminalRecord:
            yield f"{at}.empty: is no {field['type']}"
    if "places" in field and field.get("type") != "decimal":
        yield f"{at}.places: only a decimal has places"


def _name(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _listed(names: Mapping[Any, Any]) -> str:
    return ", ".join(map(str, names)) or "none"


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
