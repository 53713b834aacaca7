"""Makes a token, or gives an existing name a new one."""

import secrets
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from syncqueue.access import digest_of
from syncqueue.models import SyncToken

SHORTEST = 16


class Command(BaseCommand):
    help = "Make a token and print it once; with --stdin its value is read from standard input."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--role", choices=[SyncToken.VIEWER, SyncToken.SYNC], required=True)
        parser.add_argument("--tenant", action="append", help='only this tenant; "" is records without one; may be repeated')
        parser.add_argument("--stdin", action="store_true", help="take the token's value from standard input")

    def handle(self, *args: Any, **options: Any) -> None:
        token = sys.stdin.readline().strip() if options["stdin"] else secrets.token_urlsafe(32)
        if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
            raise CommandError(f"standard input: expected a token of at least {SHORTEST} printable characters without spaces")
        if SyncToken.objects.filter(digest=digest_of(token)).exclude(name=options["name"]).exists():
            raise CommandError("standard input: another name has this token already")
        values = {"digest": digest_of(token), "role": options["role"], "tenants": options["tenant"], "active": True}
        SyncToken.objects.update_or_create(name=options["name"], defaults=values)
        if not options["stdin"]:
            self.stdout.write(token)
            self.stderr.write("This is shown once; only its hash is kept.")
