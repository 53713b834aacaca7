"""All checks in their order: this machine, the configuration, both sides, the files, what is deployed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from shared import wiring
from shared.config import Settings
from shared.doctor import deployed, files, machine, models, queues, reaching
from shared.doctor.asking import rules_of_emulator, served
from shared.doctor.deployed import Deployed
from shared.doctor.finding import Finding, State, failed, ok, skipped, tried
from shared.errors import ConfigError, SyncError
from shared.health import pair_health
from shared.peers.base import Peer
from shared.peers.polled import PolledPeer
from shared.peers.rest_queue import RestQueue
from shared.peers.system import Greeter
from shared.run import Pair
from shared.specs.base import SECRET, FirestoreSpec, PolledSpec

OWN_SECRETS = ("operator-token", "log-key")
Look = Callable[[str], Deployed]
"""Return what a project holds; SyncError where that cannot be asked."""


def examined(look: Look) -> Iterator[Finding]:
    """Yield what each check finds, in an order in which the first that fails explains the most. Writes nothing."""
    config = wiring.config_path()
    yield machine.python()
    yield machine.libraries(config.parent / "requirements.txt")
    try:
        settings = wiring.settings()
    except ConfigError as error:
        yield from (failed("configuration", each, f"mend it in {config.name}, or in the environment") for each in error.problems)
        return
    yield ok("configuration", f"{config.name}: {len(settings.pairs)} pair(s), {len(_collections(settings))} collections")
    yield from reaching.secrets(_secrets(settings), lambda name: wiring.secrets().get(name))
    yield from _sides(settings)
    yield from _files(config.parent, settings)
    yield from _in_force(config.parent, settings, look)


def _secrets(settings: Settings) -> list[str]:
    named = [name for spec in settings.peers.values() for name in _named(spec.model_dump())]
    return list(dict.fromkeys([*named, *OWN_SECRETS]))


def _named(part: Any) -> Iterator[str]:
    """Yield the secrets that a part of sync.yaml names."""
    if isinstance(part, dict):
        yield from (name for each in part.values() for name in _named(each))
    elif isinstance(part, str) and part.startswith(SECRET):
        yield part.removeprefix(SECRET)


def _sides(settings: Settings) -> Iterator[Finding]:
    try:
        pairs = wiring.pairs()
    except SyncError as error:
        yield failed("credentials", str(error), "gcloud auth application-default login")
        return
    for pair in pairs.values():
        found = [each for peer in (pair.left, pair.right) for each in _side(peer, pair, settings)]
        yield from found
        if any(each.state is State.FAILED and each.check in {pair.left.name, pair.right.name} for each in found):
            yield skipped("queues", f"{pair.name}: a side does not answer")
        else:
            health = pair_health(pair, settings.pairs[pair.name].health, wiring.store(), wiring.now())
            yield from queues.waiting(pair.name, health)


def _side(peer: Peer, pair: Pair, settings: Settings) -> Iterator[Finding]:
    apart = settings.pairs[pair.name].health.clock_seconds
    if isinstance(peer, PolledPeer) and isinstance(peer.system, Greeter):
        asked = dict.fromkeys(tenant for each in pair.tenants.values() for tenant in each)
        yield from reaching.tenants(peer.name, peer.system, asked)
    backend = reaching.once(peer) if isinstance(peer, RestQueue) else None
    cure = "is the address right, and is it running? what it answers tells the rest"
    found = list(tried(peer.name, lambda: reaching.answering(backend or peer, pair.scope, wiring.now, apart), cure))
    yield from found
    if backend is None or found[0].state is State.FAILED:
        return
    entities = {name: each for name, each in settings.pairs[pair.name].entities.items() if not each.published}
    mend = "make a token there with the role sync: manage.py sync_token NAME --role sync"
    yield from tried("token", lambda: reaching.may_sync(backend, pair.scope), mend)
    yield from tried("signing", lambda: reaching.signed(backend, pair.scope), mend)
    yield from tried("models", lambda: models.compared(peer.name, backend.models(), entities), "see the backend's log")


def _files(root: Path, settings: Settings) -> Iterator[Finding]:
    main, rules = root / "functions" / "main.py", root / "firestore.rules"
    if main.is_file():
        yield from files.trackers(main.read_text(encoding="utf-8"), list(_tracked(settings)))
    else:
        yield skipped("trackers", f"there is no functions/main.py beside {wiring.config_path().name}")
    if rules.is_file():
        yield from files.rules(rules.read_text(encoding="utf-8"), _collections(settings))
    else:
        yield skipped("rules", f"there is no firestore.rules beside {wiring.config_path().name}")


def _collections(settings: Settings) -> dict[str, str]:
    """Return the collection of each entity that Firestore holds."""
    kept = {name for name, spec in settings.peers.items() if isinstance(spec, FirestoreSpec)}
    pairs = [pair for pair in settings.pairs.values() if kept & {pair.left, pair.right}]
    return {name: spec.collection for pair in pairs for name, spec in pair.entities.items()}


def _tracked(settings: Settings) -> dict[str, str]:
    """Return the collection of each entity whose edits in Firestore are carried somewhere."""
    deaf = {name for name, spec in settings.peers.items() if isinstance(spec, PolledSpec) and not spec.takes_changes}
    heard = {name: pair for name, pair in settings.pairs.items() if not deaf & {pair.left, pair.right}}
    return _collections(settings.model_copy(update={"pairs": heard}))


def _patterns(settings: Settings) -> dict[str, str]:
    return {f"track_{name}_changes": f"{path}/{{id}}" for name, path in _tracked(settings).items()}


def _in_force(root: Path, settings: Settings, look: Look) -> Iterator[Finding]:
    """Yield what is so of the rules in force, the triggers and the indexes: the emulator's, or those that are deployed."""
    rules = root / "firestore.rules"
    source = rules.read_text(encoding="utf-8") if rules.is_file() else None
    if wiring.emulator():
        yield from tried("triggers", lambda: _local_triggers(settings), "is `make up` running?")
        if source is not None:
            yield from tried("rules", lambda: _emulated_rules(source), "is the emulator running?")
        yield skipped("indexes", "the emulator does without")
        yield skipped("jobs", "no Cloud Scheduler calls functions on this machine")
        return
    try:
        held = look(wiring.project())
    except SyncError as error:
        yield skipped("deployed", str(error))
        return
    yield from deployed.triggers(held, _patterns(settings))
    yield deployed.indexes(held)
    yield from deployed.jobs(held)
    yield deployed.task_queue(held)
    if source is not None:
        yield files.published(source, held.rules, f"project {wiring.project()}")


def _local_triggers(settings: Settings) -> Iterator[Finding]:
    url = wiring.functions_url()
    if url is None:
        yield skipped("triggers", "no functions are named in FUNCTIONS_URL")
    else:
        yield deployed.local_triggers(served(url), list(_patterns(settings)))


def _emulated_rules(source: str) -> Iterator[Finding]:
    yield files.published(source, rules_of_emulator(wiring.emulator() or "", wiring.project()), "the emulator")
