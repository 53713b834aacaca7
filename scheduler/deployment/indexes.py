"""What Firestore indexes and when it deletes: by firestore.indexes.json, and by sync.yaml for each synced collection."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from local.bundle import ROOT
from scheduler.deployment.commands import Command
from scheduler.deployment.project import Project
from scheduler.deployment.settings import Settings

INDEXES = ROOT / "firestore.indexes.json"
INDEX = "_sync"
"""What a document carries of its own index: no query asks for it, save for the two numbers in it that are summed."""
SUMMED = ("_sync.bucket", "_sync.hash")


def plan(settings: Settings, project: Project) -> Iterator[Command]:
    """Yield what makes the indexes and policies that are not there; Firestore builds them by itself afterwards."""
    content = wanted(settings)
    there = {_shape(each) for each in project.listed("firestore", "indexes", "composite", "list")}
    yield from (_composite(settings, each) for each in content["indexes"] if _shape(each) not in there)
    singles = project.listed("firestore", "indexes", "fields", "list")
    exempt = {_place(each): _orders(each.get("indexConfig", {})) for each in singles}
    expiring = {_place(each) for each in project.listed("firestore", "fields", "ttls", "list")}
    for each in content["fieldOverrides"]:
        place = (each["collectionGroup"], each["fieldPath"])
        if exempt.get(place) != _orders(each):
            yield _single(settings, each)
        if each.get("ttl") and place not in expiring:
            group = f"--collection-group={each['collectionGroup']}"
            yield settings.gcloud("firestore", "fields", "ttls", "update", each["fieldPath"], group, "--enable-ttl", "--async")


def wanted(settings: Settings) -> dict[str, list[Any]]:
    """Return `indexes` and `fieldOverrides`, in the form of firestore.indexes.json."""
    content: dict[str, list[Any]] = json.loads(INDEXES.read_text(encoding="utf-8"))
    for group in sorted({pattern.split("/")[-2] for pattern in settings.patterns.values()}):
        fields = [{"fieldPath": path, "order": "ASCENDING"} for path in SUMMED]
        content["indexes"].append({"collectionGroup": group, "queryScope": "COLLECTION", "fields": fields})
        orders: dict[str, list[Any]] = {INDEX: []} | {
            path: [{"order": "ASCENDING", "queryScope": "COLLECTION"}] for path in SUMMED
        }
        content["fieldOverrides"] += [
            {"collectionGroup": group, "fieldPath": path, "indexes": kept} for path, kept in orders.items()
        ]
    return content


def _composite(settings: Settings, index: Mapping[str, Any]) -> Command:
    parts = [f"--field-config=field-path={each['fieldPath']},order={each['order'].lower()}" for each in index["fields"]]
    group = f"--collection-group={index['collectionGroup']}"
    scope = f"--query-scope={index['queryScope'].lower().replace('_', '-')}"
    return settings.gcloud("firestore", "indexes", "composite", "create", group, scope, *parts, "--async")


def _single(settings: Settings, field: Mapping[str, Any]) -> Command:
    kept = [f"--index=order={each['order'].lower()}" for each in field["indexes"]] or ["--disable-indexes"]
    group = f"--collection-group={field['collectionGroup']}"
    return settings.gcloud("firestore", "indexes", "fields", "update", field["fieldPath"], group, *kept, "--async")


def _shape(index: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what makes an index that one: ours, or one that Firestore lists, which adds `__name__` to its fields."""
    group = index.get("collectionGroup") or index["name"].split("/collectionGroups/")[1].partition("/")[0]
    fields = [f"{each['fieldPath']} {each.get('order')}" for each in index["fields"] if each["fieldPath"] != "__name__"]
    return (group, index["queryScope"], *fields)


def _place(field: Mapping[str, Any]) -> tuple[str, str]:
    group, _, path = field["name"].split("/collectionGroups/")[1].partition("/fields/")
    return group, path.replace("`", "")


def _orders(config: Mapping[str, Any]) -> list[str]:
    """Return the orders of single-field indexes; Firestore lists each with its fields, our file without."""
    return [part.get("order", "") for each in config.get("indexes", ()) for part in each.get("fields", [each])]
