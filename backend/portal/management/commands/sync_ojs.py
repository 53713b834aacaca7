"""Syncs journals with their OJS now, or asks how they are."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.calling import NotCalled, call, call_later

TYPES = {"submissions": "submission", "users": "profile", "issues": "issue", "reviews": "review", "comments": "comment"}


class Command(BaseCommand):
    help = "Have the sync's functions carry over what changed in OJS and in the portal. Exit code 1 where something failed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--journal", metavar="SLUG", help="this journal only, whatever its interval")
        parser.add_argument("--type", choices=TYPES, help="these records only")
        parser.add_argument("--async", action="store_true", dest="later", help="by a task, without waiting for the answer")
        parser.add_argument("--health-check", action="store_true", help="only say how the journals are")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["health_check"]:
                self._health(options["journal"])
            else:
                self._sync(_asked(options), options["later"])
        except NotCalled as error:
            raise CommandError(str(error)) from None

    def _sync(self, asked: Mapping[str, Any], later: bool) -> None:
        if later:
            call_later("bidirectional_sync", asked)
            self.stdout.write("asked for; the answer will lie in sync_runs")
            return
        _, answer = call("bidirectional_sync", asked)
        for line in _lines(answer):
            self.stdout.write(line)
        if not answer.get("success"):
            raise CommandError(_errors(answer))

    def _health(self, journal: str | None) -> None:
        _, answer = call("ojs_health", {"journal": journal} if journal else {})
        journals = answer.get("result", {}).get("journals", {})
        for slug, told in journals.items():
            lacks = f", which offers no {', '.join(told['offers_no'])}" if told["offers_no"] else ""
            self.stdout.write(f"{slug}: {told['problem'] or 'OJS ' + told['version']}{lacks}")
        if not answer.get("success"):
            raise CommandError(_errors(answer))


def _asked(options: Mapping[str, Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {"pair": settings.JOURNAL_FUNCTIONS["pair"]}
    asked |= {"tenant": options["journal"]} if options["journal"] else {}
    return asked | ({"entities": [TYPES[options["type"]]]} if options["type"] else {})


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    for pair in answer.get("result", {}).get("pairs", {}).values():
        for direction, tally in pair["directions"].items():
            figures = ", ".join(f"{tally[name]} {name}" for name in ("read", "applied", "conflicts", "dead_letters", "waiting"))
            yield f"{direction.replace('_to_', ' to ')}: {figures}"


def _errors(answer: Mapping[str, Any]) -> str:
    return "; ".join(each["message"] for each in answer.get("errors", [])) or "the functions answered that it failed"
