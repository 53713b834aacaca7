"""Where the calls are mounted: include this under any path."""

from django.urls import path

from . import describing, views

app_name = "syncqueue"
urlpatterns = [
    path("changes/", views.Changes.as_view(), name="changes"),
    path("apply/", views.Apply.as_view(), name="apply"),
    path("mark-synced/", views.MarkSynced.as_view(), name="mark-synced"),
    path("status/", views.Status.as_view(), name="status"),
    path("records/", views.Records.as_view(), name="records"),
    path("digest/", views.Digest.as_view(), name="digest"),
    path("erase/", views.Erase.as_view(), name="erase"),
    path("about/", views.About.as_view(), name="about"),
    path("models/", describing.Models.as_view(), name="models"),
    path("openapi.yaml", views.openapi, name="openapi"),
]
