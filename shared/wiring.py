"""Makes peers, store and clients out of the settings, when they are first asked for. Importing it does nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

from shared.breaker import Breaker
from shared.config import SECRET, FirestoreSpec, PairSpec, RestQueueSpec, Settings, load
from shared.errors import TerminalBatch, Transient
from shared.log import Log
from shared.model import Scope
from shared.peers.base import Peer
from shared.peers.documents import Firestore
from shared.peers.firestore import FirestorePeer
from shared.peers.ramp import Ramp
from shared.peers.rest_queue import RestQueue
from shared.prices import Prices
from shared.retry import Backoff, Patience
from shared.run import Pair
from shared.store import Store

AT_ONCE = 2
"""Parts of a page: one waits for Firestore while the other is worked out."""
SECRET_LIFE = timedelta(minutes=5)


def now() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)


@cache
def settings() -> Settings:
    """Return what sync.yaml says: the file that SYNC_CONFIG names, or the one beside the library."""
    return load(Path(os.environ.get("SYNC_CONFIG") or Path(__file__).parent.parent / "sync.yaml"))


@dataclass
class Secrets:
    """Secret Manager, asked again after five minutes, so that a rotation needs no redeploy."""

    project: str
    client: Any
    _known: dict[str, tuple[datetime, str]] = field(default_factory=dict, repr=False)

    def get(self, name: str) -> str:
        """Return the latest version of a secret; TerminalBatch if there is none or it may not be read."""
        since, value = self._known.get(name, (datetime.min.replace(tzinfo=UTC), ""))
        if now() - since >= SECRET_LIFE:
            value = self._fetch(name)
            self._known[name] = (now(), value)
        return value

    def _fetch(self, name: str) -> str:
        from google.api_core import exceptions

        place = f"projects/{self.project}/secrets/{name}/versions/latest"
        try:
            return str(self.client.access_secret_version(name=place).payload.data.decode().strip())
        except (exceptions.NotFound, exceptions.PermissionDenied, exceptions.FailedPrecondition) as error:
            hint = "create it, and let the functions' service account read it"
            raise TerminalBatch(f"Secret Manager has no {name!r} for us ({type(error).__name__}); {hint}") from None
        except exceptions.GoogleAPICallError as error:
            raise Transient(f"Secret Manager did not answer for {name!r} ({type(error).__name__})") from None


@cache
def secrets() -> Secrets:
    """Return the project's secrets; a local server's where SECRET_MANAGER_HOST names one."""
    from google.cloud.secretmanager import SecretManagerServiceClient
    from google.cloud.secretmanager_v1.services.secret_manager_service.transports import SecretManagerServiceGrpcTransport

    host = os.environ.get("SECRET_MANAGER_HOST")
    transport = SecretManagerServiceGrpcTransport(channel=_insecure(host)) if host else None
    return Secrets(project(), SecretManagerServiceClient(transport=transport))


def secret(named: str) -> Callable[[], str]:
    """Return what fetches the secret that `secret:NAME` names."""
    return lambda: secrets().get(named.removeprefix(SECRET))


def project() -> str:
    """Return the Google Cloud project that the sync's own state lies in."""
    return _firestore_spec(settings()).project


@cache
def documents() -> Firestore:
    """Return Firestore, or the emulator that FIRESTORE_EMULATOR_HOST names."""
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud.firestore_v1.services.firestore import FirestoreClient
    from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport

    spec, host = _firestore_spec(settings()), os.environ.get("FIRESTORE_EMULATOR_HOST")
    if not host:
        try:
            return Firestore(FirestoreClient(), spec.project, spec.database, ramp=Ramp())
        except DefaultCredentialsError:
            hint = "run `gcloud auth application-default login`, or name an emulator in FIRESTORE_EMULATOR_HOST"
            raise TerminalBatch(f"there are no credentials for Firestore of project {spec.project!r} here; {hint}") from None
    client = FirestoreClient(transport=FirestoreGrpcTransport(channel=_insecure(host)))
    return Firestore(client, spec.project, spec.database, [("authorization", "Bearer owner")])


def _insecure(host: str) -> Any:
    import grpc

    return grpc.insecure_channel(host)


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
        tenants={entity: each.tenants for entity, each in spec.entities.items() if each.tenants},
        beside=partial(ThreadPoolExecutor, 1, "beside"),
        breakers=tuple(each.breaker for each in (left, right) if isinstance(each, RestQueue) and each.breaker),
        quota=documents().quota,
    )


@cache
def _peer(name: str, pair: str) -> Peer:
    spec, entities = settings().peers[name], settings().pairs[pair].mapped()
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
            breaker=Breaker(name, spec.breaker_failures, spec.breaker_seconds),
            quota=documents().quota,
        )
    return FirestorePeer(name, documents(), pair, entities, now, time.sleep, ThreadPoolExecutor(AT_ONCE, "apply"))


def firestore_peer(entity: str) -> FirestorePeer:
    """Return the peer whose collection holds an entity; what its tracker works with."""
    pair = pairs()[settings().pair_of(entity)]
    return next(peer for peer in (pair.left, pair.right) if isinstance(peer, FirestorePeer))
