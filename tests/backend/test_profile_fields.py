"""The profile page checks what Django would: its copy of the model's rules is held against the model."""

import json
from pathlib import Path

import pytest
from members.models import Member

FIELDS = json.loads((Path(__file__).parents[2] / "hosting" / "src" / "member-fields.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field["name"])
def test_the_page_asks_of_a_field_what_the_model_asks(field):
    model = Member._meta.get_field(field["name"])
    assert field.get("max") == (model.max_length if field["kind"] in {"text", "email"} else None)
    assert field.get("required", False) == (not model.blank)
    kinds = {"text": "CharField", "email": "EmailField", "date": "DateField", "lines": "TextField"}
    assert kinds.get(field["kind"], type(model).__name__) == type(model).__name__
    assert (field["kind"] in {"choice", "choices"}) == model.is_relation
