"""What the admin pages of the queue, the conflicts and the tombstones share: they only show, and each shows a record's key and
values to those alone who may see the record itself."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from .seeing import with_sight

HIDDEN = format_html('<em title="you may not see these records">{}</em>', "hidden")


class Guarded(admin.ModelAdmin):  # type: ignore[type-arg]
    """A page that only shows; rows have `visible`."""

    search_fields = ["=key"]
    search_help_text = "the whole key"
    list_per_page = 50
    show_full_result_count = False

    class Media:
        css: ClassVar[Any] = {"all": ["syncqueue/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_sight(super().get_queryset(request), request, self.admin_site)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Find keys only among what the user may see: that there is one tells something already."""
        return super().get_search_results(request, queryset.filter(visible=True) if search_term else queryset, search_term)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Let only the filters that are shown pass: `?fields__name=...` would tell values to who may not see them."""
        shown = {str(getattr(each, "parameter_name", each)) for each in self.list_filter}
        return lookup.partition("__")[0] in shown

    @admin.display(description="key")
    def shown_key(self, row: Any) -> str | SafeString:
        return str(row.key) if row.visible else HIDDEN
