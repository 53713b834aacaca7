"""Drops finished entries, acknowledged conflicts, old tombstones and expired nonces."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from syncqueue.cleaning import drop, outdated


class Command(BaseCommand):
    help = "Drop what was finished more than so many days ago, in batches, and print counts."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, default=30)
        parser.add_argument("--dry-run", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] < 1:
            raise CommandError("--days: expected at least 1")
        for name, found in outdated(datetime.now(UTC), options["days"]).items():
            count = found.count() if options["dry_run"] else drop(found)
            self.stdout.write(f"{name}: {count} {'would go' if options['dry_run'] else 'dropped'}")
