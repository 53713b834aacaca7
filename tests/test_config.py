"""sync.yaml: what is shipped loads; what is wrong is said all at once, each with its place and what is valid there."""

from pathlib import Path

import pytest
import yaml

from shared.config import load, parse
from shared.errors import ConfigError
from shared.mapping import Field, Type
from shared.model import Policy

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {"DJANGO_URL": "https://example.org/felagar/api/sync", "GOOGLE_CLOUD_PROJECT": "demo-bothways"}


def problems(text, environment=ENVIRONMENT):
    """Return what is wrong with a file's text, line by line."""
    with pytest.raises(ConfigError) as raised:
        parse(text, "sync.yaml", environment)
    assert str(raised.value).startswith(f"sync.yaml: {len(raised.value.problems)} problem(s); nothing was started")
    assert all(each in str(raised.value) for each in raised.value.problems)
    return list(raised.value.problems)


def a_file(**parts):
    """Return a correct file, with these parts of it replaced; `pairs__members__left="x"` goes as deep as it says."""
    content = {
        "version": 1,
        "peers": {
            "django": {"kind": "rest_queue", "url": "https://example.org/", "token": "secret:django-token"},
            "firestore": {"kind": "firestore", "project": "demo"},
        },
        "pairs": {
            "members": {
                "left": "django",
                "right": "firestore",
                "entities": {
                    "branch": {"collection": "branches", "fields": {"name": "text"}},
                    "member": {"collection": "members", "fields": {"name": "text", "fee": {"type": "decimal", "places": 2}}},
                },
            }
        },
    }
    for path, value in parts.items():
        *way, last = path.split("__")
        part = content
        for name in way:
            part = part[name]
        part[last] = value
        if value is ...:
            del part[last]
    return yaml.safe_dump(content, sort_keys=False)


MEMBER = "pairs__members__entities__member"


# What is shipped


def test_the_shipped_file_loads():
    settings = load(ROOT / "sync.yaml", ENVIRONMENT)
    assert (settings.peers["django"].url, settings.peers["firestore"].project) == tuple(ENVIRONMENT.values())
    assert settings.peers["firestore"].database == "(default)"
    assert settings.peers["django"].token == "secret:django-token"
    assert settings.peers["django"].signing_key is None

    pair = settings.pairs["members"]
    assert (pair.left, pair.right, pair.initial_winner) == ("django", "firestore", "django")
    assert (pair.schedule.cron, pair.schedule.time_zone) == ("30 3 * * *", "Atlantic/Reykjavik")
    assert (pair.limits.page_size, pair.limits.retry_attempts, pair.limits.retry_hours) == (500, 10, 24)
    assert settings.pair_of("member") == "members"

    entities = {entity.name: entity for entity in pair.mapped()}
    assert list(entities).index("branch") < list(entities).index("member"), "what is referred to comes first"
    member = entities["member"]
    assert (entities["branch"].collection, member.collection) == ("branches", "members")
    assert member.by_name["fee"] == Field("fee", Type.DECIMAL, "fee", places=2)
    assert member.by_name["birth_date"] == Field("birth_date", Type.DATE, "birthDate")
    assert member.by_name["branch"] == Field("branch", Type.REFERENCE, "branch", to="branches")
    assert member.by_name["interests"].empty == [], "nothing in a set is an empty list"


def test_the_shipped_file_says_which_variables_it_needs():
    found = problems((ROOT / "sync.yaml").read_text(), {"DJANGO_URL": ""})
    assert found == [
        "peers.django.url: the environment variable DJANGO_URL is not set",
        "peers.firestore.project: the environment variable GOOGLE_CLOUD_PROJECT is not set",
    ]


def test_a_file_as_the_tests_have_it_is_right():
    settings = parse(a_file(), "sync.yaml", {})
    assert list(settings.pairs) == ["members"]
    with pytest.raises(Exception, match="frozen"):
        settings.version = 2


def test_a_budget_is_set_for_each_pair_and_there_is_none_by_default():
    limits = parse(a_file(), "sync.yaml", {}).pairs["members"].limits
    assert limits.billed_operations is None
    limits = parse(a_file(pairs__members__limits={"billed_operations": 1000}), "sync.yaml", {}).pairs["members"].limits
    assert limits.billed_operations == 1000


def test_a_pair_is_synced_in_real_time_and_its_runs_are_handed_out_only_where_that_is_asked_for():
    pair = parse(a_file(), "sync.yaml", {}).pairs["members"]
    assert (pair.real_time, pair.limits.shard_threshold, pair.limits.shards) == (None, None, 16)
    asked = a_file(pairs__members__real_time={"seconds": 2}, pairs__members__limits={"shard_threshold": 1000, "shards": 4})
    pair = parse(asked, "sync.yaml", {}).pairs["members"]
    assert pair.real_time is not None
    assert (pair.real_time.seconds, pair.limits.shard_threshold, pair.limits.shards) == (2, 1000, 4)


@pytest.mark.parametrize(
    "parts, expected",
    [
        ({"pairs__members__limits": {"shards": 6}}, "pairs.members.limits.shards: Input should be 4, 8, 16, 32 or 64"),
        ({"pairs__members__limits": {"shard_threshold": 0}}, "shard_threshold: Input should be greater than or equal to 1"),
        ({"pairs__members__real_time": {"seconds": 0.5}}, "real_time.seconds: Input should be greater than or equal to 1"),
        ({"pairs__members__real_time": {"second": 5}}, "real_time.second: no such setting; valid here: seconds"),
    ],
)
def test_what_is_asked_of_shards_and_real_time_is_looked_at(parts, expected):
    assert any(expected in problem for problem in problems(a_file(**parts), {}))


def test_tenants_lie_where_the_collection_says():
    [school] = (
        parse(
            a_file(
                pairs__members__entities={
                    "pupil": {"collection": "schools/{tenant}/pupils", "tenants": ["a"], "fields": {"name": "text"}}
                }
            ),
            "sync.yaml",
        )
        .pairs["members"]
        .mapped()
    )
    assert school.has_tenant


# Policies


def test_a_policy_is_the_fields_own_or_its_entitys_or_the_pairs():
    parts = {
        "pairs__members__policy": "left_wins",
        f"{MEMBER}__policy": "manual",
        f"{MEMBER}__fields__fee": {"type": "decimal", "places": 2, "policy": "merge"},
    }
    branch, member = parse(a_file(**parts), "sync.yaml", {}).pairs["members"].mapped()
    assert (branch.policy, branch.policy_of("name")) == (Policy.LEFT_WINS, Policy.LEFT_WINS)
    assert (member.policy, member.policy_of("name"), member.policy_of("fee")) == (Policy.MANUAL, Policy.MANUAL, Policy.MERGE)
    assert member.policies == {Policy.MANUAL, Policy.MERGE}


def test_without_a_word_the_last_write_wins():
    for entity in parse(a_file(), "sync.yaml", {}).pairs["members"].mapped():
        assert entity.policies == {Policy.LAST_WRITE_WINS}


@pytest.mark.parametrize("place", ["pairs__members__policy", f"{MEMBER}__policy", f"{MEMBER}__fields__fee__policy"])
def test_an_unknown_policy_is_answered_with_those_that_there_are(place):
    [problem] = problems(a_file(**{place: "first_write_wins"}))
    assert problem.startswith(place.replace("__", "."))
    assert "'last_write_wins', 'left_wins', 'right_wins', 'merge' or 'manual'" in problem


# Every problem at once

MANY_MISTAKES = """
version: 2
peers:
  django:
    kind: rest_queue
    url: ftp://example.org
    token: hunter2-in-plain-sight
    retries: 3
  Firestore:
    kind: firestore
    project: ${NO_SUCH_VARIABLE}
  graph:
    kind: neo4j
pairs:
  members:
    left: djnago
    right: firestore
    right: django
    policy: first_write_wins
    limits: {page_size: 0, run_secs: 5}
    schedule: {cron: every night}
    entities:
      member:
        collection: /members
        key: name
        fields:
          name: text
          fee: {type: decimal, places: -1}
          phone: {type: text, places: 2}
          joined: {type: moment}
          branch: {type: reference, to: brnach}
          mobile: {type: text, firestore: phone}
          index: {type: map, firestore: _sync}
"""

EXPECTED = {
    "the version": "version: Input should be 1",
    "the address": "peers.django.rest_queue.url: String should match",
    "a secret in plain sight": "peers.django.rest_queue.token: String should match",
    "an unknown setting of a peer": "peers.django.rest_queue.retries: no such setting; valid here: kind, url, token",
    "a name with a capital": "peers.Firestore",
    "an unset variable": "peers.Firestore.project: the environment variable NO_SUCH_VARIABLE is not set",
    "an unknown kind": "peers.graph: Input tag 'neo4j' found using 'kind' does not match any of the expected tags: 'rest_queue'",
    "an unknown peer": "pairs.members.left: there is no peer 'djnago'; there are: django, Firestore, graph",
    "a name that stands twice": "line 18: 'right' stands here a second time",
    "an unknown policy": "pairs.members.policy: Input should be 'last_write_wins'",
    "a page of nothing": "pairs.members.limits.page_size: Input should be greater than or equal to 1",
    "an unknown setting of the limits": "pairs.members.limits.run_secs: no such setting; valid here: page_size, run_seconds",
    "a cron that is none": "pairs.members.schedule.cron: String should match",
    "a collection that is none": "pairs.members.entities.member.collection: String should match",
    "a key among the fields": "pairs.members.entities.member.fields.name: is the key",
    "negative places": "pairs.members.entities.member.fields.fee.places: Input should be greater than or equal to 0",
    "places on a text": "pairs.members.entities.member.fields.phone.places: only a decimal has places",
    "an unknown type": "pairs.members.entities.member.fields.joined.type: Input should be 'text', 'integer', 'number', 'decimal'",
    "a reference to nothing": "pairs.members.entities.member.fields.branch.to: there is no entity 'brnach' in this pair",
    "one field in Firestore for two": "pairs.members.entities.member.fields.mobile: 'phone' is kept in 'phone' too",
    "the sync's own field": "pairs.members.entities.member.fields.index: Firestore's field '_sync' is the sync's own",
}


@pytest.mark.parametrize("expected", EXPECTED.values(), ids=EXPECTED)
def test_every_problem_of_a_file_is_reported_at_once_with_its_place(expected):
    assert [each for each in problems(MANY_MISTAKES) if each.startswith(expected)]


def test_no_problem_is_reported_that_is_none():
    assert len(problems(MANY_MISTAKES)) == len(EXPECTED)


def test_a_secret_that_was_written_into_the_file_is_not_repeated():
    assert "hunter2" not in str(problems(MANY_MISTAKES))


# Settings that are not known: the message lists those that are

UNKNOWN = {
    "at the top": ("tenants", "tenants", "version, peers, pairs"),
    "of a REST queue": ("peers__django__user", "peers.django.rest_queue.user", "kind, url, token, signing_key, timeout_seconds"),
    "of a Firestore": ("peers__firestore__url", "peers.firestore.firestore.url", "kind, project, database"),
    "of a pair": ("pairs__members__middle", "pairs.members.middle", "left, right, entities, policy, initial_winner, limits"),
    "of its limits": ("pairs__members__limits", "pairs.members.limits.pages", "page_size, run_seconds, retry_attempts"),
    "of its health": ("pairs__members__health", "pairs.members.health.pages", "oldest_pending_hours, last_success_hours"),
    "of its schedule": ("pairs__members__schedule", "pairs.members.schedule.pages", "cron, time_zone"),
    "of an entity": (f"{MEMBER}__path", "pairs.members.entities.member.path", "collection, key, fields, tenants"),
    "of a field": (f"{MEMBER}__fields__fee__max", "pairs.members.entities.member.fields.fee.max", "type, firestore, places, to"),
}


@pytest.mark.parametrize("path, place, valid", UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_setting_is_answered_with_those_that_are_known(path, place, valid):
    [problem] = problems(a_file(**{path: {"pages": 5}}))
    assert problem.startswith(f"{place}: no such setting; valid here: {valid}")


@pytest.mark.parametrize("name", ["health", "limits", "schedule"])
def test_a_field_may_be_called_like_a_section(name):
    [problem] = problems(a_file(**{f"{MEMBER}__fields": {name: {"type": "text", "max": 5}}}))
    assert "valid here: type, firestore, places, to" in problem
    [problem] = problems(a_file(**{"pairs__members__entities": {name: {"collection": "c", "fields": {"a": "text"}, "max": 5}}}))
    assert "valid here: collection, key, fields, tenants" in problem


# Contradictions: each part is right, and together they are wrong

ENTITY = {"collection": "members", "fields": {"name": "text"}}
SECOND = {"left": "django", "right": "firestore", "entities": {"guest": ENTITY}}

CONTRADICTIONS = {
    "no such peer": (
        {"pairs__members__right": "firebase"},
        "members.right: there is no peer 'firebase'; there are: django, firestore",
    ),
    "two of a kind": (
        {"peers__other": {"kind": "firestore", "project": "x"}, "pairs__members__left": "other"},
        "members: pairs a firestore with a firestore; a rest_queue and a firestore can be paired",
    ),
    "a winner that is no peer": ({"pairs__members__initial_winner": "me"}, "members.initial_winner: there is no peer 'me'"),
    "a winner of another pair": (
        {"peers__other": {"kind": "firestore", "project": "x"}, "pairs__members__initial_winner": "other"},
        "members.initial_winner: 'other' is neither left nor right of the pair",
    ),
    "an entity synced twice": (
        {"pairs__again": {**SECOND, "entities": {"member": {**ENTITY, "collection": "others"}}}},
        "again.entities.member: entity 'member' is synced already by pairs.members.entities.member",
    ),
    "a collection synced twice": (
        {"pairs__again": SECOND},
        "again.entities.guest: collection 'members' is synced already by pairs.members.entities.member",
    ),
    "a collection synced twice in one pair": (
        {"pairs__members__entities__guest": ENTITY},
        "members.entities.guest: collection 'members' is synced already by pairs.members.entities.member",
    ),
    "one field in Firestore for two": (
        {f"{MEMBER}__fields": {"name": "text", "title": {"type": "text", "firestore": "name"}}},
        "members.entities.member.fields.title: 'name' is kept in 'name' too",
    ),
    "the sync's own field": (
        {f"{MEMBER}__fields___sync": "map"},
        "members.entities.member.fields._sync: Firestore's field '_sync'",
    ),
    "the sync's own field by another name": (
        {f"{MEMBER}__fields__fee": {"type": "map", "firestore": "_sync"}},
        "members.entities.member.fields.fee: Firestore's field '_sync' is the sync's own",
    ),
    "a field that Firestore keeps": (
        {f"{MEMBER}__fields__fee": {"type": "text", "firestore": "__name__"}},
        "members.entities.member.fields.fee: Firestore's field '__name__'",
    ),
    "the key among the fields": ({f"{MEMBER}__key": "name"}, "members.entities.member.fields.name: is the key"),
    "places on a text": (
        {f"{MEMBER}__fields__name": {"type": "text", "places": 2}},
        "members.entities.member.fields.name.places: only a decimal has places",
    ),
    "a reference to no entity": (
        {f"{MEMBER}__fields__fee": {"type": "reference", "to": "club"}},
        "members.entities.member.fields.fee.to: there is no entity 'club' in this pair; there are: branch, member",
    ),
    "a reference that points nowhere": (
        {f"{MEMBER}__fields__fee": "reference"},
        "members.entities.member.fields.fee: a reference, and only that, names the entity it points to with `to`",
    ),
    "a text that points somewhere": (
        {f"{MEMBER}__fields__fee": {"type": "text", "to": "branch"}},
        "members.entities.member.fields.fee: a reference, and only that",
    ),
    "nothing of another type": (
        {f"{MEMBER}__fields__fee": {"type": "integer", "empty": "none"}},
        "members.entities.member.fields.fee.empty: is no integer",
    ),
    "tenants without a place for them": ({f"{MEMBER}__tenants": ["a"]}, "members.entities.member: `tenants` and a `{tenant}` in"),
    "a place for tenants without any": (
        {f"{MEMBER}__collection": "schools/{tenant}/members"},
        "members.entities.member: `tenants` and a `{tenant}` in `collection` go together",
    ),
}


@pytest.mark.parametrize("parts, expected", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_parts_that_contradict_each_other_are_named_with_what_there_is(parts, expected):
    [problem] = problems(a_file(**parts))
    assert problem.startswith(f"pairs.{expected}")


def test_a_peer_is_not_paired_with_itself():
    assert "pairs.members: left and right are the same peer" in problems(a_file(pairs__members__right="django"))


COLLECTIONS = {
    "a document instead of a collection": "schools/x",
    "an empty step": "schools//members",
    "a slash before": "/members",
    "a slash after": "members/",
    "braces that are no tenant": "schools/{school}/members",
    "a tenant as the collection": "{tenant}",
    "nothing": "",
}


@pytest.mark.parametrize("collection", COLLECTIONS.values(), ids=COLLECTIONS)
def test_a_collection_is_a_path_of_collections_and_documents(collection):
    found = problems(a_file(**{f"{MEMBER}__collection": collection}))
    assert any(each.startswith("pairs.members.entities.member.collection: String should match") for each in found)


# Files that are no such file

SPOILT = {
    "no YAML": ("peers: [", "is no YAML"),
    "a tab": ("peers:\n\t- a", "is no YAML"),
    "a control character": ("peers: \x07", "is no YAML"),
    "a Python object": ("!!python/object:os.system {}", "is no YAML"),
    "nothing": ("", "Input should be a valid dictionary"),
    "a list": ("- a", "Input should be a valid dictionary"),
    "a text": ("sync", "Input should be a valid dictionary"),
}


@pytest.mark.parametrize("text, expected", SPOILT.values(), ids=SPOILT)
def test_a_file_that_is_none_is_said_in_one_line(text, expected):
    [problem] = problems(text)
    assert expected in problem
    assert "\n" not in problem
    assert not problem.startswith(":"), "the place has a name"


ODD_SHAPES = {
    "peers that are a list": {"peers": ["django"]},
    "a peer that is a text": {"peers__django": "rest_queue"},
    "a peer's name that is a number": {"peers": {1: {"kind": "firestore", "project": "x"}}},
    "a kind that is a list": {"peers__django__kind": ["rest_queue"]},
    "pairs that are a text": {"pairs": "members"},
    "a pair that is null": {"pairs__members": None},
    "left that is a list": {"pairs__members__left": ["django"]},
    "left that is a map": {"pairs__members__left": {"kind": "firestore"}},
    "a winner that is a list": {"pairs__members__initial_winner": ["django"]},
    "no entities": {"pairs__members__entities": {}},
    "entities that are a list": {"pairs__members__entities": ["member"]},
    "an entity's name that is a number": {
        "pairs__members__entities": {1: ENTITY, "a": {"collection": "a", "fields": {"b": {"type": "reference", "to": "x"}}}}
    },
    "an entity that is a text": {MEMBER: "members"},
    "a collection that is a list": {f"{MEMBER}__collection": ["members"]},
    "a key that is a list": {f"{MEMBER}__key": ["id"]},
    "no fields": {f"{MEMBER}__fields": {}},
    "fields that are a list": {f"{MEMBER}__fields": ["name"]},
    "a field that is a number": {f"{MEMBER}__fields__fee": 5},
    "a field's name that is a number": {f"{MEMBER}__fields": {5: "text"}},
    "a type that is a list": {f"{MEMBER}__fields__fee": {"type": ["text"]}},
    "a type that is a list, and nothing": {f"{MEMBER}__fields__fee": {"type": ["text"], "empty": ""}},
    "to that is a list": {f"{MEMBER}__fields__fee": {"type": "reference", "to": ["branch"]}},
    "a name in Firestore that is a list": {f"{MEMBER}__fields__fee": {"type": "text", "firestore": ["a"]}},
    "nothing that is no value": {f"{MEMBER}__fields__fee": {"type": "decimal", "places": "two", "empty": "0.00"}},
    "tenants that are a text": {f"{MEMBER}__tenants": "a"},
}


@pytest.mark.parametrize("parts", ODD_SHAPES.values(), ids=ODD_SHAPES)
def test_a_part_of_another_shape_is_reported_like_any_mistake(parts):
    assert problems(a_file(**parts))


def test_a_name_that_is_no_text_is_reported_like_any_mistake():
    assert problems("version: 1\n? [a, b]\n: 1\n")


def test_a_name_that_stands_twice_is_reported_with_its_line():
    text = a_file() + "version: 1\n"
    assert problems(text) == [f"line {len(text.splitlines())}: 'version' stands here a second time"]


def test_a_part_may_be_written_once_and_merged_into_others():
    text = (
        a_file()
        .replace("      branch:\n", "      branch: &base\n")
        .replace("      member:\n", "      member:\n        <<: *base\n")
    )
    assert parse(text, "sync.yaml").pairs["members"].entities["member"].collection == "members"


def test_a_missing_file_says_which_and_how_to_name_another(tmp_path):
    with pytest.raises(ConfigError, match="SYNC_CONFIG") as raised:
        load(tmp_path / "nowhere.yaml", ENVIRONMENT)
    assert str(tmp_path / "nowhere.yaml") in str(raised.value)
    assert "No such file" in str(raised.value)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, ENVIRONMENT)


def test_a_file_in_another_encoding_is_reported(tmp_path):
    file = tmp_path / "sync.yaml"
    file.write_bytes("# félag\n".encode("latin-1") + a_file().encode())
    with pytest.raises(ConfigError, match=r"sync\.yaml"):
        load(file, ENVIRONMENT)


# The environment


@pytest.mark.parametrize("environment", [{}, {"URL": ""}], ids=["unset", "empty"])
def test_a_variable_that_is_not_set_is_named_with_its_place(environment):
    found = problems(a_file(peers__django__url="${URL}"), environment)
    assert found == ["peers.django.url: the environment variable URL is not set"]


def test_a_variable_is_filled_in_wherever_a_text_stands():
    places = {
        "peers__django__url": "https://${HOST}/${PATH}/",
        f"{MEMBER}__collection": "${WHERE}/{tenant}/members",
        f"{MEMBER}__tenants": ["${TENANT}", "south"],
    }
    environment = {"HOST": "example.org", "PATH": "sync", "WHERE": "schools", "TENANT": "north"}
    settings = parse(a_file(**places), "sync.yaml", environment)
    assert settings.peers["django"].url == "https://example.org/sync/"
    member = settings.pairs["members"].entities["member"]
    assert (member.collection, member.tenants) == ("schools/{tenant}/members", ("north", "south"))


def test_what_a_variable_holds_is_not_filled_in_again():
    settings = parse(a_file(peers__firestore__project="${A}"), "sync.yaml", {"A": "${B}", "B": "no"})
    assert settings.peers["firestore"].project == "${B}"


# Polled peers

SCHOOLS = {"GOOGLE_CLOUD_PROJECT": "demo", "DJANGO_URL": "https://example.org/"} | {
    f"SCHOOL_{name}_URL": f"https://{name.lower()}.example" for name in ("NORTH", "SOUTH")
}


def test_one_school_goes_into_two_pairs():
    settings = load(ROOT / "examples" / "bakalari.yaml", SCHOOLS)
    assert settings.pair_of("class") == "school-firestore", "that with Firestore"
    assert [list(pair.entities) for pair in settings.pairs.values()] == [["class", "subject", "user", "enrolment"]] * 2
    assert not settings.has_firestore(settings.pairs["school-django"])


def school_file(old, new):
    return (ROOT / "examples" / "bakalari.yaml").read_text().replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "tenants: [north, south]\n        fields: &user",
            "tenants: [north, east]\n        fields: &user",
            "entities.user.tenants: 'east'",
        ),
        ("        collection: schools/{tenant}/users\n", "", "entities.user.collection: Field required"),
        ("right: django", "right: firestore", "entity 'class' is synced already by pairs.school-firestore"),
        ("missing_polls: 3", "missing: 3", "valid here: full_hours, missing_polls, kind, schools"),
        ("secret:school-north", "north", "accounts: String should match"),
    ],
)
def test_what_is_wrong_about_schools_is_said_with_its_place(old, new, expected):
    assert any(expected in problem for problem in problems(school_file(old, new), SCHOOLS)), problems(
        school_file(old, new), SCHOOLS
    )
