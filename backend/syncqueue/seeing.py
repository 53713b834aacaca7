"""Who may see what on the admin pages of the queue: values and keys only those who may see the model that they are of."""

from typing import Any

from django.contrib import admin
from django.db.models import Case, QuerySet, Value, When
from django.http import HttpRequest

from .registry import Entity, registry


def may_see(request: HttpRequest, site: admin.AdminSite, entity: Entity) -> bool:
    """Return whether the user may see the records of an entity."""
    return _may(request, site, entity, "view") or _may(request, site, entity, "change")


def may_change(request: HttpRequest, site: admin.AdminSite, entity: Entity) -> bool:
    """Return whether the user may change the records of an entity."""
    return _may(request, site, entity, "change")


def with_sight(found: QuerySet[Any], request: HttpRequest, site: admin.AdminSite) -> QuerySet[Any]:
    """Return the rows with `visible`: whether this user may see the record that each is about."""
    seen = [entity.name for entity in registry().entities.values() if may_see(request, site, entity)]
    sight = Value(True) if request.user.is_superuser else Case(When(entity__in=seen, then=Value(True)), default=Value(False))
    told: QuerySet[Any] = found.annotate(visible=sight)
    return told


def _may(request: HttpRequest, site: admin.AdminSite, entity: Entity, action: str) -> bool:
    if site.is_registered(entity.model):
        return bool(getattr(site.get_model_admin(entity.model), f"has_{action}_permission")(request))
    meta = entity.model._meta
    return request.user.has_perm(f"{meta.app_label}.{action}_{meta.model_name}")
