"""Bakaláři schools: classes, subjects, users and enrolments, as complete as the accounts that may be asked.

Ids are never trimmed: " 6" and "6" are two subjects. Blank ids, which schools show after the year's end, are nobody's.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from shared.errors import SyncError, TerminalRecord
from shared.model import Json
from shared.peers.bakalari_client import Client
from shared.peers.system import Poll, Seen

PRAGUE = ZoneInfo("Europe/Prague")
SUMMER = {7, 8}
FRESH = timedelta(minutes=2)
"""How long an answer serves the later stages of the same run."""
Rows = dict[str, dict[str, Json]]
"""Fields by external id."""


@dataclass
class School:
    """One school, and what its accounts were shown lately."""

    accounts: Sequence[Client]
    public: bool = False
    """Whether its public timetable, which lists all classes and teachers, is read too."""
    shown: dict[tuple[int, str], tuple[datetime, Any]] = field(default_factory=dict)
    polled: set[str] = field(default_factory=set)
    """For which stages those answers have served; the second time for one is the next run."""

    def begin(self, entity: str) -> None:
        """Forget what was shown to an earlier run."""
        if entity in self.polled:
            self.shown.clear()
            self.polled.clear()
        self.polled.add(entity)


class Bakalari:
    """The schools that a peer of this kind knows, by tenant."""

    writable = False

    def __init__(self, name: str, schools: Mapping[str, Callable[[], School]], now: Callable[[], datetime]) -> None:
        self.name, self.makers, self.now = name, schools, now
        self.schools: dict[str, School] = {}

    def greet(self, tenant: str) -> str:
        """Return how many accounts a school has let in: all of them."""
        accounts = self._school(tenant).accounts
        for each in accounts:
            each.get("user")
        return f"{len(accounts)} account(s) let in"

    def poll(self, tenant: str | None, entity: str, since: str | None) -> Iterator[Poll]:
        """Yield all that the school's accounts see. Complete only if all could be asked, lessons are shown, and it is not
        summer: in holidays there is nothing, and after the year's end less and less."""
        school = self._school(tenant)
        school.begin(entity)
        yield from self._list(school, entity)

    def _list(self, school: School, entity: str) -> Iterator[Poll]:
        failure, seen = None, Rows()
        lessons = True
        for number in range(len(school.accounts)):
            try:
                seen = {**self._rows(school, number, entity), **seen}
                lessons = lessons and any(True for _ in _atoms(self._get(school, number, "timetable/permanent")))
            except SyncError as error:
                failure = failure or error
        if failure is None and lessons and school.public and entity in {"class", "user"}:  # else it would seem to know better
            seen = {**self._public(school, entity), **seen}
        complete = failure is None and lessons and self.now().astimezone(PRAGUE).month not in SUMMER
        yield Poll([_seen(entity, external, fields) for external, fields in seen.items()], None, complete)
        if failure is not None:
            raise failure

    def fetch(self, tenant: str | None, entity: str, externals: Sequence[str]) -> list[Seen]:
        """Return those of the records that the school shows now."""
        wanted = set(externals)
        return [each for page in self._list(self._school(tenant), entity) for each in page.seen if each.external in wanted]

    def write(self, tenant: str | None, entity: str, external: str | None, fields: Mapping[str, Json], key: str) -> Seen:
        """Refuse: schools are only read."""
        raise TerminalRecord("read-only", f"{self.name} takes no changes; make this one there")

    def _school(self, tenant: str | None) -> School:
        name = tenant or ""
        if name not in self.schools:
            self.schools[name] = self.makers[name]()
        return self.schools[name]

    def _get(self, school: School, number: int, path: str) -> Any:
        when, answer = school.shown.get((number, path), (None, None))
        if when is None or self.now() - when > FRESH:
            answer = school.accounts[number].get(path)
            school.shown[number, path] = (self.now(), answer)
        return answer

    def _rows(self, school: School, number: int, entity: str) -> Rows:
        user, table = self._get(school, number, "user"), self._get(school, number, "timetable/permanent")
        if entity == "class":
            return _classes(user, table)
        subjects = _items(self._get(school, number, "subjects"), "Subjects")
        if entity == "subject":
            return _subjects(subjects, table)
        if entity == "user":
            return _teachers(subjects, table) | _student(user)
        return _enrolments(user, table)

    def _public(self, school: School, entity: str) -> Rows:
        """Return the classes or teachers of the public timetable: names and ids of the whole school."""
        page = school.accounts[0].public("Timetable/Public")
        which = {"class": "selectedClass", "user": "selectedTeacher"}[entity]
        options = _options(page, which).items()
        if entity == "class":
            return {id: {"abbrev": name, "name": name, "kind": "class", "parent": None, "active": True} for id, name in options}
        return {id: _teacher(name) for id, name in options}


def _seen(entity: str, external: str, fields: Mapping[str, Json]) -> Seen:
    return Seen(external, fields, external if entity == "enrolment" else key_of(external))


def key_of(id: str) -> str:
    """Return the key of an id, in which only letters, digits and `_.-~` stand for themselves."""
    return quote(id, safe="")


def _items(body: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    for each in body.get(name) or ():
        if isinstance(each, dict):
            yield each


def _known(body: Mapping[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the things of a list with their ids, each once; those without an id are nobody."""
    for each in _items(body, name):
        id = each.get("Id")
        if isinstance(id, str) and id.strip():
            yield id, each


def _text(value: Any) -> str | None:
    """Return a text without the blanks around it; those of ids are meant, those of texts are not."""
    return value.strip() or None if isinstance(value, str) else None


def _classes(user: Mapping[str, Any], table: Mapping[str, Any]) -> Rows:
    own = {"Classes": [user.get("Class") or {}]}
    classes = [*_known(own, "Classes"), *_known(table, "Classes")]
    rows: Rows = {id: _class(each, "class", None) for id, each in classes}
    groups = dict(_known(table, "Groups"))
    return rows | {f"{_GROUP}{id}": _class(each, "group", _reference(each.get("ClassId"))) for id, each in groups.items()}


_GROUP = "group:"
"""Before a group's id: a class may have the same one."""


def _class(each: Mapping[str, Any], kind: str, parent: str | None) -> dict[str, Json]:
    abbrev = _text(each.get("Abbrev"))
    return {"abbrev": abbrev, "name": _text(each.get("Name")) or abbrev, "kind": kind, "parent": parent, "active": True}


def _reference(id: Any) -> str | None:
    return key_of(id) if isinstance(id, str) and id.strip() else None


def _subjects(subjects: Iterable[Mapping[str, Any]], table: Mapping[str, Any]) -> Rows:
    taught = ((each.get("SubjectID"), each.get("SubjectName"), each.get("SubjectAbbrev")) for each in subjects)
    listed = ((id, each.get("Name"), each.get("Abbrev")) for id, each in _known(table, "Subjects"))
    found = {id: (name, abbrev) for id, name, abbrev in (*listed, *taught) if isinstance(id, str) and id.strip()}
    return {id: {"name": _text(name), "abbrev": _text(abbrev), "active": True} for id, (name, abbrev) in found.items()}


def _teacher(name: Any, abbrev: Any = None, email: Any = None) -> dict[str, Json]:
    return {"name": _text(name), "abbrev": _text(abbrev), "email": _text(email), "kind": "teacher", "active": True}


def _teachers(subjects: Iterable[Mapping[str, Any]], table: Mapping[str, Any]) -> Rows:
    rows: Rows = {id: _teacher(each.get("Name"), each.get("Abbrev")) for id, each in _known(table, "Teachers")}
    for each in subjects:
        id = each.get("TeacherID")
        if isinstance(id, str) and id.strip():
            rows[id] = _teacher(each.get("TeacherName"), each.get("TeacherAbbrev"), each.get("TeacherEmail"))
    return rows


def _student(user: Mapping[str, Any]) -> Rows:
    """Return the student whose account it is; in parents' accounts the name is the child's, with the class behind a comma.
    Without a class, as in summer, what is behind it cannot be told from the name: nobody is returned."""
    id, name, home = user.get("UserUID"), _text(user.get("FullName")), user.get("Class") or {}
    if not isinstance(id, str) or not id.strip() or user.get("UserType") == "teacher" or not _reference(home.get("Id")):
        return {}
    abbrev = _text(home.get("Abbrev"))
    name = name.removesuffix(f", {abbrev}") if name and abbrev else name
    return {id: {"name": name, "abbrev": None, "email": None, "kind": "student", "active": True}}


def _atoms(table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the lessons that are held by somebody, to somebody, in something; a removed one has nulls."""
    for day in _items(table, "Days"):
        for atom in _items(day, "Atoms"):
            if atom.get("SubjectId") and atom.get("TeacherId") and atom.get("GroupIds"):
                yield atom


def _enrolments(user: Mapping[str, Any], table: Mapping[str, Any]) -> Rows:
    """Return who is in which group of which class for which subject, each once."""
    class_of = {id: each.get("ClassId") for id, each in _known(table, "Groups")}
    own, rows = user.get("UserUID"), Rows()
    year = _year(user)
    if year is None:
        return rows  # whose year it is cannot be told
    student = own if isinstance(own, str) and own.strip() and user.get("UserType") != "teacher" else None
    if student and (home := _reference((user.get("Class") or {}).get("Id"))):
        rows |= _enrolment(student, home, None, None, "student", year)
    for atom in _atoms(table):
        for group in atom["GroupIds"]:
            home = _reference(class_of.get(group))
            if home is None:
                continue
            rows |= _enrolment(atom["TeacherId"], home, group, atom["SubjectId"], "teacher", year)
            if student:
                rows |= _enrolment(student, home, group, atom["SubjectId"], "student", year)
    return rows


def _enrolment(user: str, home: str, group: str | None, subject: str | None, role: str, year: str) -> Rows:
    of_group = key_of(f"{_GROUP}{group}") if group else None
    of_subject = key_of(subject) if subject else None
    id = ":".join([key_of(user), home, of_group or "-", of_subject or "-", role, year])
    fields = {"user": key_of(user), "school_class": home, "group": of_group, "subject": of_subject, "role": role, "year": year}
    return {id: {**fields, "active": True}}


def _year(user: Mapping[str, Any]) -> str | None:
    """Return the school year of the semester under way, such as 2019-2020; None where the school tells of none, as in summer."""
    common = ((user.get("SettingModules") or {}).get("Common") or {}).get("ActualSemester") or {}
    try:
        begins = datetime.fromisoformat(common["To"])
    except (KeyError, TypeError, ValueError):
        return None
    first = begins.year if begins.month >= 9 else begins.year - 1
    return f"{first}-{first + 1}"


def _options(page: str, id: str) -> dict[str, str]:
    found = re.search(rf'<select id="{id}"[^>]*>(.*?)</select>', page, re.DOTALL)
    options = re.findall(r'<option value="([^"]+)"[^>]*>(.*?)</option>', found[1], re.DOTALL) if found else []
    return {html.unescape(value): html.unescape(name).strip() for value, name in options if value.strip()}
