"""Log-based metrics and alert policies, one of each for every trouble in scheduler/monitoring/alerts.yaml."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from local.bundle import ROOT
from scheduler.deployment.commands import Command
from scheduler.deployment.project import Project
from scheduler.deployment.settings import Settings

ALERTS = ROOT / "scheduler" / "monitoring" / "alerts.yaml"
CHANNEL = "Bothways"


def alerts() -> list[dict[str, Any]]:
    """Return the troubles that somebody is told of."""
    found: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["alerts"]
    return found


def plan(settings: Settings, project: Project) -> Iterator[Command]:
    """Yield what makes or changes metrics, the channel that alerts go to, and policies."""
    metrics = project.names("logging", "metrics", "list")
    # gcloud 528 has alert policies under `alpha` only, and channels under `beta`
    policies = project.names("alpha", "monitoring", "policies", "list", key="displayName")
    for alert in alerts():
        if "log" in alert:
            verb = "update" if alert["name"] in metrics else "create"
            shown = (f"--description={alert['title']}", f"--log-filter={log_filter(alert['log'])}")
            yield settings.gcloud("logging", "metrics", verb, alert["name"], *shown)
    yield from _channel(settings, project)
    for alert in alerts():
        yield _policy(settings, alert, policies.get(str(policy(settings, alert)["displayName"])))


def log_filter(of_event: str) -> str:
    """Return a filter of log lines for the functions' own."""
    return f'resource.type="cloud_run_revision" AND {of_event}'


def policy(settings: Settings, alert: Mapping[str, Any]) -> dict[str, Any]:
    """Return an alert policy as Cloud Monitoring takes it: it fires as soon as anything is counted, or nothing any more."""
    metric = f'metric.type="logging.googleapis.com/user/{alert["name"]}" AND resource.type="cloud_run_revision"'
    topic = settings.sizes["undeliverable"]["topic"]
    threshold = {"comparison": "COMPARISON_GT", "thresholdValue": 0, "duration": "0s"}
    kind = "conditionAbsent" if "silent_for" in alert else "conditionThreshold"
    condition = {
        "filter": alert["metric"].format(topic=topic) if "metric" in alert else metric,
        **({"duration": alert["silent_for"]} if "silent_for" in alert else threshold),
        "aggregations": [
            {
                "alignmentPeriod": "600s",
                "perSeriesAligner": "ALIGN_MAX" if "metric" in alert else "ALIGN_SUM",
                "crossSeriesReducer": "REDUCE_SUM",
            }
        ],
    }
    return {
        "displayName": f"Bothways: {alert['title']}",
        "combiner": "OR",
        "conditions": [{"displayName": alert["title"], kind: condition}],
        "documentation": {"content": alert["do"].strip(), "mimeType": "text/markdown"},
        "alertStrategy": {"autoClose": "86400s"},
    }


def _channel(settings: Settings, project: Project) -> Iterator[Command]:
    channels = project.names("beta", "monitoring", "channels", "list", key="displayName") if settings.alerts_to else {CHANNEL: {}}
    if CHANNEL not in channels:
        kind = (f"--display-name={CHANNEL}", "--type=email", f"--channel-labels=email_address={settings.alerts_to}")
        yield settings.gcloud("beta", "monitoring", "channels", "create", *kind)


def _policy(settings: Settings, alert: Mapping[str, Any], there: Mapping[str, Any] | None) -> Command:
    content = f"--policy={json.dumps(policy(settings, alert), ensure_ascii=False)}"
    update = ("update", str(there["name"])) if there else ("create",)
    told = "--set-notification-channels=" if there else "--notification-channels="
    mine = ("beta", "monitoring", "channels", "list", f"--filter=displayName={CHANNEL}", "--format=value(name)")
    channel = (settings.output(*mine, before=told),) if settings.alerts_to else ()
    return settings.gcloud("alpha", "monitoring", "policies", *update, content, *channel)
