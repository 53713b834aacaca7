"""Made-up journals, the same at every start: one installation of each version, ids that collide, an editor whom two share."""

from __future__ import annotations

from collections.abc import Mapping

from ojs.site import AUTHOR, MANAGER, REVIEWER, VERSIONS, Journal, Site

NAMES = {"3.3": ("harbour", "Harbour Letters"), "3.4": ("meadow", "Meadow Studies"), "3.5": ("quarry", "Quarry Review")}
NAMES |= {"3.6": ("summit", "Summit Notes")}
SHARED = ("Signy Editor", "signy@people.example")


def token_of(path: str) -> str:
    """Return the API key of the journal's connector account."""
    return f"key-of-{path}"


def journal_of(site: Site) -> Journal:
    """Return the one journal of a sample installation."""
    return next(iter(site.journals.values()))


def installation(version: str, path: str, name: str) -> Site:
    """Return an installation with one journal, its people, an issue and three submissions."""
    site = Site(version)
    journal = site.journal(path, name)
    site.user("Connector Account", f"sync@{path}.example", {path: {MANAGER}}, token_of(path))
    if version in {"3.3", "3.6"}:
        site.user(*SHARED, {path: {MANAGER}})
    reviewer = site.user("Rolf Reviewer", f"rolf@{path}.example", {path: {REVIEWER}})
    author = site.user("Ada Author", f"ada@{path}.example", {path: {AUTHOR}})
    issue = site.issue(journal, 1, "1", 2026)
    for number, title in enumerate(("On tides", "On moss", "On basalt")):
        row = site.submission(journal, title, by=author)
        publication = site.current(row)
        publication["keywords"] = {site.locale: ["nature", f"study {number + 1}"]}
        site.author(publication, "Ada Author", f"ada@{path}.example")
        if number == 0:
            site.publish(row, issue)
        if number == 1:
            site.complete(row, site.review(row, reviewer), 2, "<p>Add a map.</p>", "<p>A first paper, be kind.</p>")
            site.discussion(row, "About the map", "<p>Which scale?</p>", reviewer, stage=3)
    return site


def installations() -> Mapping[str, Site]:
    """Return a sample installation of every version."""
    return {version: installation(version, *NAMES[version]) for version in VERSIONS}
