"""Makes peers, store and clients out of the settings, when they are first asked for. Importing it does nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from shared.config import SECRET, FirestoreSpec, PairSpec, RestQueueSpec, Settings, load
from shared.errors import ConfigError, TerminalBatch, Transient
from shared.log import Log
from shared.model import Scope
from shared.nudges import Nudges
from shared.peers.base import Peer
from shared.peers.documents import Firestore
from shared.peers.firestore import FirestorePeer
from shared.peers.rest_queue import RestQueue
from shared.retry import Backoff, Patience
from shared.run import Pair, Sharding
from shared.store import Store
from shared.tasks import CloudTasks, Tasks

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
            return Firestore(FirestoreClient(), spec.project, spec.database)
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
    return CloudTasks(client, queue, url, account, lambda: secrets().get("operator-token"))


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
    limits = spec.limits
    return Pair(
        name=name,
        left=_peer(spec.left, name),
        right=_peer(spec.right, name),
        scope=Scope(name, tuple(spec.entities), None, limits.page_size),
        billed=documents().billed,
        patience=Patience(limits.retry_attempts, timedelta(hours=limits.retry_hours)),
        run_time=timedelta(seconds=limits.run_seconds),
        max_billed=limits.billed_operations,
        initial_winner=spec.initial_winner,
        entities={each.name: each for each in spec.mapped()},
        sharding=Sharding(limits.shard_threshold, limits.shards) if limits.shard_threshold else None,
        tenants={entity: each.tenants for entity, each in spec.entities.items() if each.tenants},
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
        )
    return FirestorePeer(name, documents(), pair, entities, now, time.sleep)


def firestore_peer(entity: str) -> FirestorePeer:
    """Return the peer whose collection holds an entity; what its tracker works with."""
    pair = pairs()[settings().pair_of(entity)]
    return next(peer for peer in (pair.left, pair.right) if isinstance(peer, FirestorePeer))
