"""The functions: HTTP ones, and trackers with their triggers and a place for events that cannot be delivered."""

from collections.abc import Iterator, Mapping
from typing import Any

from local.functions import EVENT
from scheduler.deployment.commands import Command
from scheduler.deployment.errors import DeployError
from scheduler.deployment.project import Project
from scheduler.deployment.settings import Settings

LABEL = ("app", "bothways")


def plan_http(settings: Settings, project: Project) -> Iterator[Command]:
    """Yield what deploys each HTTP function; only the caller's account may invoke those that are not public."""
    sizes = settings.sizes["http"]
    for name, kind in settings.kinds.items():
        if kind != EVENT:
            refuse_taken(name, project)
            public = settings.is_public(name)
            trigger = ("--trigger-http", "--allow-unauthenticated" if public else "--no-allow-unauthenticated")
            yield from _deploy(settings, project, name, sizes.get(name, sizes["default"]), trigger)
            if not public:
                yield _invoker(settings, name)


def plan_trackers(settings: Settings, project: Project) -> Iterator[Command]:
    """Yield what deploys each tracker and its trigger, and keeps what cannot be delivered."""
    yield from _keep(settings, project)
    for name, kind in settings.kinds.items():
        if kind == EVENT:
            refuse_taken(name, project)
            trigger = _trigger(settings, settings.patterns[name])
            yield from _deploy(settings, project, name, settings.sizes["trackers"], trigger)
            yield _invoker(settings, name)
            yield from _dead_letters(settings, name)


def refuse_taken(name: str, project: Project) -> None:
    """Raise DeployError if a function of that name is there and is not ours."""
    held = project.names("functions", "list", "--v2").get(name)
    key, value = LABEL
    if held is not None and held.get("labels", {}).get(key) != value:
        delete = f"gcloud functions delete {name} --region {project.settings.region} --project {project.settings.project}"
        raise DeployError(f"the name {name} is taken by a function that is not Bothways': {delete}, or name another --project")


def flags(sizes: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    """Yield settings as gcloud's flags."""
    yield from (f"--{name.replace('_', '-')}={sizes[name]}" for name in names if name in sizes)


def _deploy(
    settings: Settings, project: Project, name: str, sizes: Mapping[str, Any], trigger: tuple[str, ...]
) -> Iterator[Command]:
    """Yield what deploys a function. Its second address is known once it is there; a new one is told of it afterwards."""
    uri = project.names("functions", "list", "--v2").get(name, {}).get("serviceConfig", {}).get("uri")
    addresses = [settings.url(name), *([uri] if uri else [])]
    yield settings.gcloud(
        *("functions", "deploy", name, "--gen2", "--region", settings.region, "--runtime", settings.sizes["runtime"]),
        *("--source", str(settings.bundle), "--entry-point", name, "--service-account", settings.runner),
        f"--build-service-account=projects/{settings.project}/serviceAccounts/{settings.builder}",
        *(f"--set-env-vars={settings.variables(name, addresses)}", f"--update-labels={'='.join(LABEL)}"),
        "--serve-all-traffic-latest-revision",
        *flags(sizes, ("memory", "timeout", "concurrency", "max_instances")),
        *trigger,
    )
    if not uri:
        asked = ("functions", "describe", name, "--gen2", "--region", settings.region, "--format=value(serviceConfig.uri)")
        both = settings.output(*asked, before=f"--update-env-vars=^|^SYNC_AUDIENCES={settings.url(name)},")
        yield settings.gcloud("run", "services", "update", service_of(name), "--region", settings.region, both)


def service_of(function: str) -> str:
    """Return the name of the Cloud Run service that a function of the second generation runs as."""
    return function.replace("_", "-").lower()


def _trigger(settings: Settings, pattern: str) -> tuple[str, ...]:
    """Return the flags of a trigger. `--retry`: an event whose function failed comes again."""
    return (
        f"--trigger-location={settings.location}",
        "--trigger-event-filters=type=google.cloud.firestore.document.v1.written",
        "--trigger-event-filters=database=(default)",
        "--trigger-event-filters=namespace=(default)",
        f"--trigger-event-filters-path-pattern=document={pattern}",
        f"--trigger-service-account={settings.caller}",
        "--retry",
    )


def _invoker(settings: Settings, name: str) -> Command:
    who = f"--member=serviceAccount:{settings.caller}"
    return settings.gcloud("functions", "add-invoker-policy-binding", name, "--region", settings.region, who)


def _keep(settings: Settings, project: Project) -> Iterator[Command]:
    topic = settings.sizes["undeliverable"]["topic"]
    if topic not in project.names("pubsub", "topics", "list"):
        yield settings.gcloud("pubsub", "topics", "create", topic)
    if topic not in project.names("pubsub", "subscriptions", "list"):
        kept = ("--message-retention-duration=31d", "--expiration-period=never")
        yield settings.gcloud("pubsub", "subscriptions", "create", topic, f"--topic={topic}", *kept)
    role = ("--role=roles/pubsub.publisher", "--format=none")
    yield settings.gcloud("pubsub", "topics", "add-iam-policy-binding", topic, _pubsub(settings), *role)


def _pubsub(settings: Settings) -> Any:
    """Return the member that Pub/Sub itself is: it moves what cannot be delivered."""
    number = ("projects", "describe", settings.project, "--format=value(projectNumber)")
    return settings.output(*number, before="--member=serviceAccount:service-", after="@gcp-sa-pubsub.iam.gserviceaccount.com")


def _dead_letters(settings: Settings, name: str) -> Iterator[Command]:
    trigger = ("functions", "describe", name, "--gen2", "--region", settings.region, "--format=value(eventTrigger.trigger)")
    carrier = ("--format=value(transport.pubsub.subscription)",)
    subscription = settings.output("eventarc", "triggers", "describe", settings.output(*trigger), *carrier)
    limits = flags(settings.sizes["undeliverable"], ("max_delivery_attempts", "min_retry_delay", "max_retry_delay"))
    topic = f"--dead-letter-topic={settings.sizes['undeliverable']['topic']}"
    yield settings.gcloud("pubsub", "subscriptions", "update", subscription, topic, *limits)
    role = ("--role=roles/pubsub.subscriber", "--format=none")
    yield settings.gcloud("pubsub", "subscriptions", "add-iam-policy-binding", subscription, _pubsub(settings), *role)
