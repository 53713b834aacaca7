"""A made-up school as the stand-in keeps it: what each account may see, and how the school behaves today."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]
DAY = datetime(2026, 11, 24, 9, tzinfo=UTC)


def lesson(group: str, subject: str | None, teacher: str | None) -> Json:
    """A lesson in the timetable; one that was removed has nulls and no group."""
    groups = [group] if subject else []
    return {"HourId": 3, "GroupIds": groups, "SubjectId": subject, "TeacherId": teacher, "RoomId": "0X", "CycleIds": ["5"]}


def named(id: str, abbrev: str, name: str) -> Json:
    return {"Id": id, "Abbrev": abbrev, "Name": name}


CLASSES = {"XL": named("XL", "1.A", "1. A"), "XM": named("XM", "1.B", "1. B")}
GROUPS = {
    "XL": [named("0C", "1.A", "1. A") | {"ClassId": "XL"}, named("0X", "1.A NjV", "1. A German") | {"ClassId": "XL"}],
    "XM": [named("0D", "1.B", "1. B") | {"ClassId": "XM"}],
}
SUBJECTS = {" 6": ("Biology", "B  "), "6": ("Singing", "Sg"), "15": ("Mathematics", "M"), "GV{OI": ("German", "NJ")}
TEACHERS = {"U  12": ("Mgr. Karel Vzor", "Vz"), "URBOT": ("Mgr. Jana Příklad", "Př"), "BNMVP:T:1N": ("Petr Ukázka", "Uk")}
LESSONS = {
    "XL": [
        lesson("0C", " 6", "U  12"),
        lesson("0C", "15", "URBOT"),
        lesson("0X", "GV{OI", "BNMVP:T:1N"),
        lesson("0C", None, None),
    ],
    "XM": [lesson("0D", "6", "URBOT"), lesson("0D", "15", "URBOT"), lesson("0D", "15", "URBOT")],
}


@dataclass
class Person:
    """An account: a student's, or that of a student's parents."""

    username: str
    password: str
    uid: str
    name: str
    home: str
    kind: str = "student"


def people() -> list[Person]:
    return [
        Person("vzor1", "heslo-1", "1234/vzor1", "Vzorová Anna", "XL"),
        Person("vzor2", "heslo-2", "1234/vzor2", "Ukázkový Jan", "XM", "parents"),
    ]


@dataclass
class School:
    """`mode`: usual, holidays (a week with nothing in it), summer (old things without ids), maintenance, login page or old."""

    people: list[Person] = field(default_factory=people)
    mode: str = "usual"
    down: set[str] = field(default_factory=set)
    """Paths below api/3/ that answer 500."""
    seconds: int = 3599
    now: Callable[[], datetime] = lambda: DAY
    access: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)
    redeemed: set[str] = field(default_factory=set)
    logins: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    groups: dict[str, list[Json]] = field(default_factory=lambda: deepcopy(GROUPS))
    lessons: dict[str, list[Json]] = field(default_factory=lambda: deepcopy(LESSONS))
    teachers: dict[str, tuple[str, str]] = field(default_factory=lambda: dict(TEACHERS))

    # Logging in

    def log_in(self, form: Json) -> tuple[int, Json]:
        grant = form.get("grant_type")
        if not form.get("client_id"):
            return _refused("invalid_client", "The mandatory 'client_id' parameter is missing.")
        if not grant:
            return _refused("invalid_request", "The mandatory 'grant_type' parameter is missing.")
        self.logins.append(grant)
        if self.mode == "old":
            return _refused("invalid_client", "Unknown Client or invalid grant type.")
        if grant == "refresh_token":
            return self._refresh(form.get("refresh_token", ""))
        found = [each for each in self.people if (each.username, each.password) == (form.get("username"), form.get("password"))]
        return (200, self._tokens(found[0].username)) if found else _refused("invalid_grant", "Špatný login nebo heslo")

    def _refresh(self, token: str) -> tuple[int, Json]:
        if token in self.redeemed:
            return _refused("invalid_grant", "The specified refresh token has already been redeemed.")
        username = self.refresh.pop(token, None)
        if username is None:
            return _refused("invalid_grant", "The specified token is invalid.")
        self.redeemed.add(token)
        return 200, self._tokens(username)

    def _tokens(self, username: str) -> Json:
        access, refresh = secrets.token_hex(16), secrets.token_hex(16)
        self.access[access] = (username, self.now() + timedelta(seconds=self.seconds))
        self.refresh[refresh] = username
        tokens = {"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": self.seconds}
        return {"bak:ApiVersion": "3.13.0", "bak:AppVersion": "1.35.1029.1", "bak:UserId": "XXXXX", **tokens}

    def who(self, authorization: str) -> Person | None:
        username, until = self.access.get(authorization.removeprefix("Bearer "), ("", self.now()))
        return next((each for each in self.people if each.username == username and self.now() < until), None)

    # What is shown

    def show(self, person: Person, path: str) -> Json | None:
        self.asked.append(path)
        shown = {"user": self._user, "subjects": self._subjects, "timetable/permanent": self._timetable}
        return shown[path](person) if path in shown else None

    def _user(self, person: Person) -> Json:
        home = CLASSES[person.home]
        body = {"UserUID": person.uid, "FullName": f"{person.name}, {home['Abbrev']}", "UserType": person.kind, "Class": home}
        semester = {"SemesterId": "1", "From": "2026-09-01T00:00:00+02:00", "To": "2027-01-31T23:59:59+01:00"}
        modules = {"Common": {"$type": "CommonModuleSettings", "ActualSemester": semester}}
        if self.mode == "summer":
            return body | {"Class": {"Id": "", "Abbrev": " ()", "Name": " ()"}, "SettingModules": {}}
        return body | {"StudyYear": 1, "SettingModules": modules}

    def _subjects(self, person: Person) -> Json:
        if self.mode in {"holidays", "summer"}:
            return {"Subjects": []}
        lessons = [each for each in self.lessons[person.home] if each["SubjectId"]]
        return {"Subjects": [self._subject(each["SubjectId"], each["TeacherId"]) for each in lessons]}

    def _subject(self, subject: str, teacher: str) -> Json:
        (name, abbrev), (who, short) = SUBJECTS[subject], self.teachers[teacher]
        found = {"SubjectID": subject, "SubjectName": name, "SubjectAbbrev": abbrev}
        email = f"{short.lower()}@skola.example"
        return found | {"TeacherID": teacher, "TeacherName": who, "TeacherAbbrev": short, "TeacherEmail": email}

    def _timetable(self, person: Person) -> Json:
        empty: Json = {name: [] for name in ("Classes", "Groups", "Subjects", "Teachers", "Rooms", "Cycles")}
        if self.mode in {"holidays", "summer"}:
            groups = {"Groups": [named("", " ()", " ()") | {"ClassId": ""}]} if self.mode == "summer" else {}
            return empty | {"Hours": [{"Id": 3}], "Days": [{"Atoms": [], "DayType": "Holiday"}]} | groups
        lessons = self.lessons[person.home]
        teachers = {each["TeacherId"]: self.teachers[each["TeacherId"]] for each in lessons if each["TeacherId"]}
        return empty | {
            "Hours": [{"Id": 3, "Caption": "1"}],
            "Days": [{"Atoms": lessons, "DayOfWeek": 1, "DayType": "Holiday"}],
            "Classes": [CLASSES[person.home]],
            "Groups": self.groups[person.home] * 3,
            "Subjects": [named(each["SubjectId"], *SUBJECTS[each["SubjectId"]][::-1]) for each in lessons if each["SubjectId"]],
            "Teachers": [named(id, short, name) for id, (name, short) in teachers.items()],
            "Rooms": [named("0X", "B", "")],
        }


def _refused(error: str, description: str) -> tuple[int, Json]:
    return 400, {"error": error, "error_description": description}
