"""models/: what is synced, told to whoever sets up the other side."""

import yaml
from calls import Client
from syncqueue.describing import CONTRACT
from syncqueue.views import _OPENAPI


def test_it_tells_every_entity_with_its_key_and_the_types_of_its_fields(client: Client) -> None:
    told = client.get("models/").json()
    entities = {each["entity"]: each for each in told["results"]}
    assert list(entities).index("branch") < list(entities).index("member")
    assert (entities["member"]["key"], entities["member"]["has_tenants"]) == ("national_id", False)
    assert entities["event"]["has_tenants"] is True
    fields = {each.pop("name"): each for each in entities["member"]["fields"]}
    assert fields["fee"] == {"type": "decimal", "places": 2}
    assert fields["branch"] == {"type": "reference", "to": "branch"}
    assert fields["interests"] == {"type": "set", "to": "interest"}
    assert fields["birth_date"] == {"type": "date"}
    assert fields["joined_at"] == {"type": "datetime"}
    assert fields["visits"] == {"type": "integer", "empty": 0}
    assert {"name": "city", "type": "text", "empty": ""} in entities["branch"]["fields"]
    assert (told["contract"], told["origin"]) == (CONTRACT, "django")


def test_the_version_that_it_tells_is_that_of_the_page() -> None:
    assert yaml.safe_load(_OPENAPI.read_text())["info"]["version"] == CONTRACT


def test_a_stranger_is_told_nothing(db: str) -> None:
    assert Client("nobody").get("models/").status_code == 401
