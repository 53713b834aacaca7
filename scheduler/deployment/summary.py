"""What to know once all is deployed."""

from local.functions import EVENT
from scheduler.deployment.settings import Settings


def summary(settings: Settings) -> str:
    """Return the addresses, a line to call, and what to check."""
    names = [name for name, kind in settings.kinds.items() if kind != EVENT]
    health, reconcile = settings.url("sync_health"), settings.url("reconcile")
    # the token goes through a pipe, since command lines are seen by everybody
    token = "gcloud auth print-identity-token --impersonate-service-account={} --audiences={} --include-email"  # noqa: S105
    header = f"-H @<(printf 'Authorization: Bearer %s' \"$({token})\")"
    alerts = "" if settings.alerts_to else "Nobody is told of troubles yet: run this with --only monitoring --alerts-to EMAIL.\n"
    lines = [
        "",
        "Deployed. The functions:",
        *(f"  {settings.url(name)}" for name in names),
        "To call them as the scheduler does, be allowed to once:",
        f"  gcloud iam service-accounts add-iam-policy-binding {settings.caller} --project {settings.project}"
        " --member=user:YOU --role=roles/iam.serviceAccountTokenCreator",
        f"  curl {header.format(settings.caller, health)} {health}",
        "Then check: health answers 200; the first load, which is a reconcile, reports what it copied:",
        f"  curl -X POST {header.format(settings.caller, reconcile)} {reconcile} -H 'Content-Type: application/json' -d '{{}}'",
        f"The jobs: gcloud scheduler jobs list --location {settings.region} --project {settings.project}",
    ]
    return "\n".join(lines) + "\n" + alerts
