"""The pages of the demo project."""

from django.contrib import admin
from django.urls import include, path

from .health import health

urlpatterns = [path("admin/", admin.site.urls), path("felagar/api/sync/", include("syncqueue.urls")), path("health/", health)]
