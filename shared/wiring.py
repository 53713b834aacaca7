"""Makes peers, store and clients out of the settings, when they are first asked for. Importing it does nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

from shared.breaker import Breaker
from shared.callers import Callers, accounts_of, operator_token
from shared.config import PairSpec, Settings, load
from shared.errors import ConfigError, TerminalBatch
from shared.log import Log
from shared.mapping import Entity
from shared.model import Scope
from shared.nudges import Nudges
from shared.peers.bakalari import Bakalari, School
from shared.peers.bakalari_client import Client, accounts_in
from shared.peers.base import Peer
from shared.peers.calls import READ_AT_ONCE
from shared.peers.documents import Firestore
from shared.peers.firestore import FirestorePeer
from shared.peers.ojs import Ojs
from shared.peers.ojs_client import Journal
from shared.peers.polled import PolledPeer
from shared.peers.polled_records import Habits
from shared.peers.ramp import Ramp
from shared.peers.rest_queue import RestQueue
from shared.peers.system import System
from shared.prices import Prices
from shared.retry import Backoff, Patience
from shared.run import Pair, Sharding
from shared.secrets import Secrets
from shared.specs.bakalari import BakalariSpec, SchoolSpec
from shared.specs.base import SECRET, FirestoreSpec, Part, PolledSpec, RestQueueSpec
from shared.specs.neo4j import Neo4jSpec
from shared.specs.ojs import JournalSpec, OjsSpec
from shared.store import Store
from shared.tasks import CloudTasks, Tasks
from shared.tokens import firebase_claims, google_claims

AT_ONCE = 2
"""Parts of a page: one waits for Firestore while the other is worked out."""
BESIDE = 3
"""Steps of a run at once: two pages being applied, and one being fetched or acknowledged."""
ASKED_AT_ONCE = 8
"""Tenants of a polled system at once: a slow one lets no other wait."""
CERTIFICATE_SECONDS = 5
"""How long to wait for Google's certificates."""


def now() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)


def config_path() -> Path:
    """Return where sync.yaml lies: what SYNC_CONFIG names, or beside the library."""
    return Path(os.environ.get("SYNC_CONFIG") or Path(__file__).parent.parent / "sync.yaml")


def as_variable(value: str, name: str) -> str:
    """Return `${NAME}` where the environment variable holds the value, so that a sync.yaml with it serves another place too; else
    the value."""
    return f"${{{name}}}" if os.environ.get(name) == value else value


@cache
def settings() -> Settings:
    """Return what sync.yaml says."""
    return load(config_path())


def emulator() -> str | None:
    """Return the HOST:PORT of the Firestore emulator that stands for Firestore, if one does."""
    return os.environ.get("FIRESTORE_EMULATOR_HOST") or None


def functions_url() -> str | None:
    """Return what the functions' addresses begin with, where that is told."""
    return os.environ.get("FUNCTIONS_URL") or None


@cache
def secrets() -> Secrets:
    """Return the project's secrets."""
    return secrets_of(project())


def secrets_of(project: str) -> Secrets:
    """Return a project's secrets; a local server's where SECRET_MANAGER_HOST names one."""
    from google.cloud.secretmanager import SecretManagerServiceClient
    from google.cloud.secretmanager_v1.services.secret_manager_service.transports import SecretManagerServiceGrpcTransport

    host = os.environ.get("SECRET_MANAGER_HOST")
    transport = SecretManagerServiceGrpcTransport(channel=_insecure(host)) if host else None
    return Secrets(project, SecretManagerServiceClient(transport=transport), now)


def secret(named: str) -> Callable[[], str]:
    """Return what fetches the secret that `secret:NAME` names."""
    return lambda: secrets().get(named.removeprefix(SECRET))


@cache
def callers() -> Callers:
    """Return who may call: the accounts in SYNC_CALLERS, for an audience in SYNC_AUDIENCES, Firebase's users with a role, and
    whoever holds an operator token. SYNC_TRUST_IAM=1 says that Cloud Run lets nobody in whom IAM does not know, and
    SYNC_OPEN_TRACKERS=1 that events come from the emulator, which sends no token."""
    audiences = frozenset(filter(None, map(str.strip, os.environ.get("SYNC_AUDIENCES", "").split(","))))
    emulated = bool(os.environ.get("FIRESTORE_EMULATOR_HOST"))
    return Callers(
        project=project,
        accounts=accounts_of(os.environ.get("SYNC_CALLERS", "")),
        audiences=audiences,
        behind_iam=os.environ.get("SYNC_TRUST_IAM") == "1",
        open_to_events=emulated and os.environ.get("SYNC_OPEN_TRACKERS") == "1",
        tokens=secret("operator-token"),
        google=lambda token: google_claims(token, audiences, certificates()),
        firebase=lambda token: firebase_claims(token, firebase()),
        now=now,
    )


@cache
def certificates() -> Any:
    """Return what fetches Google's certificates, and keeps them for as long as Google says."""
    from cachecontrol import CacheControl
    from google.auth.transport.requests import Request
    from requests import Session

    return partial(Request(CacheControl(Session())), timeout=CERTIFICATE_SECONDS)


@cache
def firebase() -> Any:
    """Return the Firebase project whose users may be given roles; where an emulator stands for it, only beside Firestore's."""
    import firebase_admin
    from firebase_admin import credentials
    from google.auth.exceptions import DefaultCredentialsError

    emulated = bool(os.environ.get("FIREBASE_AUTH_EMULATOR_HOST"))
    if emulated and not os.environ.get("FIRESTORE_EMULATOR_HOST"):
        raise ConfigError(
            "FIREBASE_AUTH_EMULATOR_HOST", ["lets anybody in beside a real Firestore; take it out of the environment"]
        )
    credential = None if emulated else credentials.ApplicationDefault()
    try:
        if credential is not None:
            credential.get_credential()
    except DefaultCredentialsError:
        hint = "run `gcloud auth application-default login`"
        raise TerminalBatch(f"there are no credentials for Firebase of project {project()!r} here; {hint}") from None
    return firebase_admin.initialize_app(credential, {"projectId": project(), "httpTimeout": CERTIFICATE_SECONDS}, "bothways")


def project() -> str:
    """Return the Google Cloud project that the sync's own state lies in."""
    return _firestore_spec(settings()).project


@cache
def documents() -> Firestore:
    """Return Firestore."""
    spec = _firestore_spec(settings())
    return firestore_at(spec.project, spec.database)


def firestore_at(project: str, database: str = "(default)") -> Firestore:
    """Return a project's Firestore, or the emulator that FIRESTORE_EMULATOR_HOST names."""
    from google.auth.exceptions import DefaultCredentialsError

    host = emulator()
    if not host:
        try:
            return Firestore(_firestore_channel(), project, database, ramp=Ramp())
        except DefaultCredentialsError:
            hint = "run `gcloud auth application-default login`, or name an emulator in FIRESTORE_EMULATOR_HOST"
            raise TerminalBatch(f"there are no credentials for Firestore of project {project!r} here; {hint}") from None
    return Firestore(_insecure(host, READ_AT_ONCE), project, database, [("authorization", "Bearer owner")])


def _firestore_channel() -> Any:
    """Return a channel to Google's Firestore, as its own client makes it: with credentials, wherever it lies."""
    from google.cloud.firestore_v1.services.firestore import FirestoreClient
    from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport

    def channel(*given: Any, options: Iterable[tuple[str, Any]], **more: Any) -> Any:
        return FirestoreGrpcTransport.create_channel(*given, options=[*options, READ_AT_ONCE], **more)

    transport: Any = FirestoreClient(transport=partial(FirestoreGrpcTransport, channel=channel)).transport
    return transport.grpc_channel


def _insecure(host: str, *options: tuple[str, Any]) -> Any:
    import grpc

    return grpc.insecure_channel(host, options)


def _firestore_spec(config: Settings) -> FirestoreSpec:
    return next(spec for spec in config.peers.values() if isinstance(spec, FirestoreSpec))


@cache
def store() -> Store:
    """Return the sync's own state."""
    return Store(documents())


@cache
def log() -> Log:
    """Return the log; records are named in it by a hash keyed with the secret `log-key`."""
    return Log(lambda: secrets().get("log-key"))


@cache
def tasks() -> Tasks | None:
    """Return the task queue that TASK_QUEUE names in full, or None; a local server's where CLOUD_TASKS_HOST names one. Its calls
    go to FUNCTIONS_URL, in the name of the service account TASK_ACCOUNT if that is set."""
    queue, host = os.environ.get("TASK_QUEUE"), os.environ.get("CLOUD_TASKS_HOST")
    if not queue:
        return None
    from google.cloud.tasks_v2 import CloudTasksClient
    from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

    client = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=_insecure(host)) if host else None)
    url, account = os.environ.get("FUNCTIONS_URL"), os.environ.get("TASK_ACCOUNT")
    if not url:
        raise ConfigError("the environment", ["FUNCTIONS_URL is not set; it is what a task's function is called under"])
    return CloudTasks(client, queue, url, account, lambda: operator_token(secrets().get("operator-token")))


@cache
def nudges(pair: str) -> Nudges | None:
    """Return what nudges a pair; None if it is not synced in real time, or if there is no task queue."""
    real_time, queue = settings().pairs[pair].real_time, tasks()
    return Nudges(pair, real_time.seconds, queue, now, log()) if real_time and queue else None


@cache
def pairs() -> Mapping[str, Pair]:
    """Return all pairs, ready to run."""
    return {name: _pair(name, spec) for name, spec in settings().pairs.items()}


def _pair(name: str, spec: PairSpec) -> Pair:
    limits, left, right = spec.limits, _peer(spec.left, name), _peer(spec.right, name)
    return Pair(
        name=name,
        left=left,
        right=right,
        scope=Scope(name, tuple(spec.entities), None, limits.page_size),
        billed=documents().billed,
        patience=Patience(limits.retry_attempts, timedelta(hours=limits.retry_hours)),
        run_time=timedelta(seconds=limits.run_seconds),
        max_billed=limits.billed_operations,
        prices=Prices(**_firestore_spec(settings()).prices.model_dump()),
        initial_winner=spec.initial_winner,
        entities={each.name: each for each in spec.mapped()},
        sharding=Sharding(limits.shard_threshold, limits.shards) if limits.shard_threshold else None,
        tenants={entity: _asked(spec, each.tenants) for entity, each in spec.entities.items() if each.tenants},
        beside=partial(ThreadPoolExecutor, BESIDE, "beside"),
        breakers=tuple(breaker for each in (spec.left, spec.right) if (breaker := _breaker(each, name))),
        quota=documents().quota,
        read_only=_read_only(spec, left, right),
    )


def _asked(pair: PairSpec, tenants: Sequence[str]) -> tuple[str, ...]:
    """Return the tenants that no polled side of a pair leaves alone for now."""
    polled = [spec for side in (pair.left, pair.right) if isinstance(spec := settings().peers[side], PolledSpec)]
    return tuple(tenant for tenant in tenants if not any(tenant in spec.silent for spec in polled))


def _read_only(pair: PairSpec, left: Peer, right: Peer) -> frozenset[str]:
    """Return the names of the sides that nothing is carried to: a system that takes nothing, or what is paired with a graph that
    is only written to."""
    systems = {each.name for each in (left, right) if isinstance(each, PolledPeer) and not each.writable}
    graphs = {name for name in (pair.left, pair.right) if isinstance(spec := settings().peers[name], Neo4jSpec) and not spec.back}
    return frozenset(systems | ({pair.left, pair.right} - graphs if graphs else set()))


@cache
def _breaker(name: str, pair: str) -> Breaker | None:
    """Return the breaker of a peer in a pair, with whose lease it is kept."""
    spec = settings().peers[name]
    return Breaker(name, spec.breaker_failures, spec.breaker_seconds) if isinstance(spec, RestQueueSpec | Neo4jSpec) else None


@cache
def _peer(name: str, pair: str) -> Peer:
    spec: Part = settings().peers[name]
    entities = settings().pairs[pair].mapped()
    if isinstance(spec, RestQueueSpec):
        key = secret(spec.signing_key) if spec.signing_key else None
        return RestQueue(
            name,
            spec.url,
            {entity.name: entity for entity in entities},
            secret(spec.token),
            key,
            spec.timeout_seconds,
            Backoff(spec.attempts),
            breaker=_breaker(name, pair),
            quota=documents().quota,
        )
    if isinstance(spec, PolledSpec):
        habits = Habits(timedelta(hours=spec.full_hours), spec.missing_polls, every=spec.every)
        if isinstance(spec, BakalariSpec):
            habits = replace(habits, inactive="active", most_missing=spec.most_missing)
        asking = partial(ThreadPoolExecutor, ASKED_AT_ONCE, "poll")
        return PolledPeer(_system(name), documents(), pair, entities, now, habits, asking)
    if isinstance(spec, Neo4jSpec):
        return _graph(name, spec, pair, entities)
    return FirestorePeer(name, documents(), pair, entities, now, time.sleep, ThreadPoolExecutor(AT_ONCE, "apply"))


@cache
def _system(name: str) -> System:
    """Return what is polled under a peer's name; one for all pairs."""
    spec: Part = settings().peers[name]
    if isinstance(spec, OjsSpec):
        return Ojs(name, {slug: _journal(slug, each) for slug, each in spec.journals.items() if each.enabled}, now)
    if isinstance(spec, BakalariSpec):
        timeout = spec.timeout_seconds
        return Bakalari(name, {school: partial(_school, school, each, timeout) for school, each in spec.schools.items()}, now)
    raise ConfigError("sync.yaml", [f"peers.{name}: nothing is known of how to ask such a peer"])


def _journal(slug: str, spec: JournalSpec) -> Journal:
    return Journal(slug, spec.url, secret(spec.token), spec.context, spec.zone, spec.timeout_seconds)


def _school(name: str, spec: SchoolSpec, timeout: float) -> School:
    """Return how to ask a school: with each of the accounts in its secret."""
    accounts = accounts_in(secret(spec.accounts)(), f"secret {spec.accounts.removeprefix(SECRET)}")
    where = f"school {name}, account "
    clients = [Client(f"{where}{number}", spec.url, each, now, timeout=timeout) for number, each in enumerate(accounts, 1)]
    return School(clients, spec.public)


def backend_at(url: str, token: Callable[[], str]) -> RestQueue:
    """Return a backend that no sync.yaml names yet, to be asked what it syncs."""
    return RestQueue("django", url, {}, token, backoff=Backoff(1))


def _graph(name: str, spec: Neo4jSpec, pair: str, entities: Sequence[Entity]) -> Peer:
    from neo4j import GraphDatabase  # not at the top: an instance without a graph need not load it

    from shared.peers.bolt import Bolt
    from shared.peers.neo4j import Neo4jPeer

    password, patience = secret(spec.password), spec.timeout_seconds

    def connect() -> Any:
        return GraphDatabase.driver(
            spec.uri,
            auth=(spec.user, password()),
            connection_timeout=patience,
            max_transaction_retry_time=patience,
            notifications_min_severity="OFF",
        )

    bolt = Bolt(name, spec.uri, spec.database, connect, _breaker(name, pair))
    return Neo4jPeer(name, bolt, pair, entities, now, time.sleep, spec.back)


def firestore_peer(entity: str) -> FirestorePeer:
    """Return the peer whose collection holds an entity; what its tracker works with."""
    pair = pairs()[settings().pair_of(entity)]
    return next(peer for peer in (pair.left, pair.right) if isinstance(peer, FirestorePeer))
