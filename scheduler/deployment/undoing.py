"""Takes back: the revision before, a pause, and everything but data."""

from collections.abc import Iterator

from scheduler.deployment import groundwork, monitoring, parts, scheduling
from scheduler.deployment.commands import Command
from scheduler.deployment.errors import DeployError
from scheduler.deployment.functions import LABEL, service_of
from scheduler.deployment.project import Project
from scheduler.deployment.settings import Settings


def rollback(settings: Settings, project: Project) -> Iterator[Command]:
    """Yield what sends all calls of each function to the revision before the one that has them now."""
    for name in ours(settings, project):
        service = service_of(name)
        earlier = f"--to-revisions={_before(settings, project, service)}=100"
        yield settings.gcloud("run", "services", "update-traffic", service, "--region", settings.region, earlier)


def _before(settings: Settings, project: Project, service: str) -> str:
    where = ("--region", settings.region)
    newest_first = ("--service", service, "--sort-by=~metadata.creationTimestamp", *where)
    revisions = [each["metadata"]["name"] for each in project.listed("run", "revisions", "list", *newest_first)]
    services = project.listed("run", "services", "list", f"--filter=metadata.name={service}", *where)
    serving = [part["revisionName"] for each in services for part in each["status"]["traffic"] if part.get("percent")]
    later = max((revisions.index(each) for each in serving if each in revisions), default=len(revisions))
    if later + 1 >= len(revisions):
        raise DeployError(f"{service} has no revision before the one that is called: check out what you want, and deploy that")
    return str(revisions[later + 1])


def ours(settings: Settings, project: Project) -> list[str]:
    """Return the functions that are there and carry our label."""
    found = project.names("functions", "list", "--v2")
    key, value = LABEL
    return [name for name, each in found.items() if each.get("labels", {}).get(key) == value]


def halt(verb: str, settings: Settings, project: Project) -> Iterator[Command]:
    """Yield what pauses or resumes the jobs and the queue. Trackers go on: what is edited meanwhile waits in sync_queue."""
    where = ("--location", settings.region)
    for name in scheduling.listed(settings, project):
        yield settings.gcloud("scheduler", "jobs", verb, name, *where)
    yield from (settings.gcloud("tasks", "queues", verb, name, *where) for name in _queues(settings, project))


def destroy(settings: Settings, project: Project) -> Iterator[Command]:
    """Yield what removes all that is there but data: Firestore with its rules and indexes stays, and services stay enabled.

    The pages go first: whether they are served is not told by gcloud, and as long as anything else is there they may be.
    """
    rest = list(_all_but_pages(settings, project))
    if rest and "firebase.googleapis.com" in project.names("services", "list", "--enabled"):
        yield from parts.no_hosting(settings)
    yield from rest


def _all_but_pages(settings: Settings, project: Project) -> Iterator[Command]:
    where = ("--location", settings.region)
    for name in scheduling.listed(settings, project):
        yield settings.gcloud("scheduler", "jobs", "delete", name, *where)
    yield from (settings.gcloud("tasks", "queues", "delete", name, *where) for name in _queues(settings, project))
    for name in ours(settings, project):
        yield settings.gcloud("functions", "delete", name, "--gen2", "--region", settings.region)
    yield from _watching(settings, project)
    topic = settings.sizes["undeliverable"]["topic"]
    for kind in ("subscriptions", "topics"):
        if topic in project.names("pubsub", kind, "list"):
            yield settings.gcloud("pubsub", kind, "delete", topic)
    there = project.names("secrets", "list")
    yield from (settings.gcloud("secrets", "delete", name) for name in settings.secrets if name in there)
    yield from _accounts(settings, project)


def _queues(settings: Settings, project: Project) -> list[str]:
    there = project.names("tasks", "queues", "list", "--location", settings.region)
    return [name for name in there if name == settings.sizes["queue"]["name"]]


def _watching(settings: Settings, project: Project) -> Iterator[Command]:
    for name, each in project.names("alpha", "monitoring", "policies", "list", key="displayName").items():
        if name.startswith("Bothways: "):
            yield settings.gcloud("alpha", "monitoring", "policies", "delete", each["name"])
    for name, each in project.names("beta", "monitoring", "channels", "list", key="displayName").items():
        if name == monitoring.CHANNEL:
            yield settings.gcloud("beta", "monitoring", "channels", "delete", each["name"])
    metrics = project.names("logging", "metrics", "list")
    names = [alert["name"] for alert in monitoring.alerts() if alert["name"] in metrics]
    yield from (settings.gcloud("logging", "metrics", "delete", name) for name in names)


def _accounts(settings: Settings, project: Project) -> Iterator[Command]:
    there = project.names("iam", "service-accounts", "list", key="email")
    for email, _, roles in groundwork.accounts(settings):
        if email in there:
            for role in roles:
                yield groundwork.bind(settings, "remove", email, role)
            yield settings.gcloud("iam", "service-accounts", "delete", email)
