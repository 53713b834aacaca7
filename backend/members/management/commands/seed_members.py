"""Fills the register with made-up members."""

from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from syncqueue.edits import one_edit

from members.models import Branch, Interest, Member
from members.people import BRANCHES, INTERESTS, people


class Command(BaseCommand):
    help = "Add made-up branches, interests and members; the same for the same seed, and safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--count", type=int, default=1000)
        parser.add_argument("--seed", type=int, default=7)

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 <= options["count"] <= 1_000_000:
            raise CommandError("--count: expected 0 to 1000000")
        with transaction.atomic():
            made = seed(options["count"], options["seed"])
        self.stdout.write(f"{made} members made, {Member.objects.count()} in all")


def seed(count: int, seed: int) -> int:
    """Add what is not there yet; return how many members were made."""
    Branch.objects.bulk_create([Branch(code=code, name=name, city=city) for code, name, city in BRANCHES], ignore_conflicts=True)
    Interest.objects.bulk_create([Interest(slug=slug, name=name) for slug, name in INTERESTS], ignore_conflicts=True)
    there = set(Member.objects.values_list("national_id", flat=True))
    wanted = [asdict(person) for person in people(count, seed) if person.national_id not in there]
    branches = {branch.code: branch for branch in Branch.objects.all()}
    interests = dict(Interest.objects.values_list("slug", "pk"))
    chosen = [person.pop("interests") for person in wanted]
    members = [Member(**person | {"branch": branches.get(person["branch"])}) for person in wanted]
    _create(members, chosen, interests)
    return len(members)


def _create(members: list[Member], chosen: list[list[str]], interests: dict[str, int]) -> None:
    through = Member.interests.through
    with one_edit():  # members and their interests: one queue entry each
        Member.objects.bulk_create(members, batch_size=500)
        pairs = zip(members, chosen, strict=True)
        links = [through(member_id=member.pk, interest_id=interests[slug]) for member, slugs in pairs for slug in slugs]
        through._default_manager.bulk_create(links, batch_size=500)
