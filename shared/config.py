"""sync.yaml and the environment -> frozen settings. Every problem is reported at once, before anything starts."""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from shared import mapping
from shared.errors import ConfigError, TerminalRecord
from shared.mapping import SYNC_FIELD, Type
from shared.model import Policy

NAME = r"^[a-z][a-z0-9_-]{0,31}$"
Name = Annotated[str, Field(pattern=NAME)]
OWN_PROPERTIES = frozenset({"key", "tenant", "_sync", "_hash", "_bucket", "_delete", "_lock"})
"""What the sync keeps in a graph beside the fields."""
SECRET = "secret:"  # noqa: S105  # how sync.yaml refers to one


class Part(BaseModel):
    """A part of sync.yaml; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class FieldSpec(Part):
    """A synced field: its type, its name in Firestore, the decimal places, the entity that a reference points to, what
    stands for nothing at a backend that has no null there (a set's is the empty list), and how its conflicts are settled."""

    type: Type
    firestore: str | None = Field(None, min_length=1)
    places: int | None = Field(None, ge=0, le=30)
    to: str | None = None
    empty: Any = None
    policy: Policy | None = None

    @property
    def nothing(self) -> Any:
        """What both sides write where there is nothing."""
        return [] if self.empty is None and self.type is Type.SET else self.empty


def _short_form(value: object) -> object:
    return {"type": value} if isinstance(value, str) else value


class EntitySpec(Part):
    """A kind of record: its collection (in a graph its label, or its type), the name of its key at the backend, its fields, its
    tenants where it has any, and how its conflicts are settled. `ends` name the two references that make it a relationship.
    Of what is `published`, the backend has only events: they are carried and never compared.
    """

    collection: str = Field(pattern=r"^[^/{}]+(/(\{tenant\}|[^/{}]+)/[^/{}]+)*$")
    key: str = "id"
    fields: dict[str, Annotated[FieldSpec, BeforeValidator(_short_form)]] = Field(min_length=1)
    tenants: tuple[str, ...] = ()
    policy: Policy | None = None
    ends: tuple[str, str] | None = None
    published: bool = False


class Limits(Part):
    """How much at a time, for how long, and at what cost: `billed_operations` are those of one run. From `shard_threshold`
    waiting changes on, a run is handed out to other instances in so many `shards`, where there is a task queue."""

    page_size: int = Field(500, ge=1, le=1000)
    run_seconds: float = Field(480, gt=0, le=1700)
    retry_attempts: int = Field(10, ge=1)
    retry_hours: float = Field(24, ge=0)
    billed_operations: int | None = Field(None, ge=1)
    shard_threshold: int | None = Field(None, ge=1)
    shards: Literal[4, 8, 16, 32, 64] = 16


class Health(Part):
    """When sync_health says that something is wrong."""

    oldest_pending_hours: float = Field(26, gt=0)
    last_success_hours: float = Field(26, gt=0)
    clock_seconds: float = Field(60, gt=0)


class Schedule(Part):
    """When a pair is synced by Cloud Scheduler."""

    cron: str = Field("30 3 * * *", pattern=r"^\S+( \S+){4}$")
    time_zone: str = "Atlantic/Reykjavik"


class RealTime(Part):
    """A change is carried soon after it was made: with all that was made in the same so many seconds, and one more at most."""

    seconds: float = Field(5, ge=1, le=3600)


class RestQueueSpec(Part):
    """A backend that offers the REST queue. `token` and `signing_key` name secrets, `attempts` counts those of one call;
    `breaker_failures` calls in a row that had none leave it alone for `breaker_seconds`."""

    kind: Literal["rest_queue"]
    url: str = Field(pattern=r"^https?://.+")
    token: str = Field(pattern=r"^secret:[A-Za-z0-9_-]+$")
    signing_key: str | None = Field(None, pattern=r"^secret:[A-Za-z0-9_-]+$")
    timeout_seconds: float = Field(30, gt=0, le=300)
    attempts: int = Field(4, ge=1, le=10)
    breaker_failures: int = Field(3, ge=1)
    breaker_seconds: float = Field(300, ge=0)


class PricesSpec(Part):
    """What 100,000 operations of each kind cost: for the estimates in reports."""

    reads: float = Field(0.06, ge=0)
    writes: float = Field(0.18, ge=0)
    deletes: float = Field(0.02, ge=0)
    currency: str = Field("USD", min_length=1)


class FirestoreSpec(Part):
    """A Firestore database."""

    kind: Literal["firestore"]
    project: str = Field(min_length=1)
    database: str = "(default)"
    prices: PricesSpec = PricesSpec()


class Neo4jSpec(Part):
    """A database of a graph that speaks Bolt. `back` carries also what is changed there by hand, which costs reading all records
    at every run; without, it is only written to."""

    kind: Literal["neo4j"]
    uri: str = Field(pattern=r"^(bolt|neo4j)(\+s|\+ssc)?://[^@]+$")
    user: str = Field(min_length=1)
    password: str = Field(pattern=r"^secret:[A-Za-z0-9_-]+$")
    database: str = Field("neo4j", min_length=1)
    back: bool = False
    timeout_seconds: float = Field(15, gt=0, le=300)
    breaker_failures: int = Field(3, ge=1)
    breaker_seconds: float = Field(300, ge=0)


class PairSpec(Part):
    """Two peers and the entities that they share. `policy` is that of every entity and field that names none."""

    left: str
    right: str
    entities: dict[Name, EntitySpec] = Field(min_length=1)
    policy: Policy = Policy.LAST_WRITE_WINS
    initial_winner: str | None = None
    limits: Limits = Limits()
    health: Health = Health()
    schedule: Schedule = Schedule()
    real_time: RealTime | None = None

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


class Settings(Part):
    """All of sync.yaml."""

    version: Literal[1]
    peers: dict[Name, Annotated[RestQueueSpec | FirestoreSpec | Neo4jSpec, Field(discriminator="kind")]] = Field(min_length=1)
    pairs: dict[Name, PairSpec] = Field(min_length=1)

    def pair_of(self, entity: str) -> str:
        """Return the name of the pair that syncs an entity."""
        return next(name for name, pair in self.pairs.items() if entity in pair.entities)


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
_KINDS: Mapping[str, type[Part]] = {"rest_queue": RestQueueSpec, "neo4j": Neo4jSpec, "firestore": FirestoreSpec}
_PAIRED = (["firestore", "rest_queue"], ["neo4j", "rest_queue"])
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
        part = next((each for kind, each in _KINDS.items() if kind in place), FirestoreSpec)
    elif len(place) == 3 and place[2] in _SECTIONS:
        part = _SECTIONS[place[-1]]
    else:
        part = _PARTS.get(len(place), Settings)
    return list(part.model_fields)


def _contradictions(raw: Any) -> Iterator[str]:
    """Yield what is wrong between the parts, as far as the parts can be read."""
    peers = _dict(_dict(raw).get("peers"))
    homes: dict[str, str] = {}
    for name, pair in _dict(_dict(raw).get("pairs")).items():
        place, pair = f"pairs.{name}", _dict(pair)
        yield from _peer_problems(place, pair, peers)
        for entity, spec in _dict(pair.get("entities")).items():
            at = f"{place}.entities.{entity}"
            collection = str(_dict(spec).get("collection"))
            for what in (f"entity {entity!r}", f"collection {collection!r}"):
                if what in homes:
                    yield f"{at}: {what} is synced already by {homes[what]}; one pair each"
                homes[what] = at
            yield from _entity_problems(at, _dict(spec), _dict(pair.get("entities")))


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
    if all(side in peers for side in sides) and kinds not in _PAIRED:
        valid = "a rest_queue and a firestore can be paired, or a rest_queue and a neo4j"
        yield f"{place}: pairs a {kinds[0]} with a {kinds[1]}; {valid}"
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
    if bool(spec.get("tenants")) != ("{tenant}" in str(spec.get("collection"))):
        yield f"{at}: `tenants` and a `{{tenant}}` in `collection` go together"


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
