"""The JSON Schema that editors complete from."""

from typing import Any

from config.json_schema import FILES, json_schema


def definitions() -> dict[str, Any]:
    found = json_schema()["$defs"]
    assert isinstance(found, dict)
    return found


def test_each_kind_of_file_is_one_of_the_roots() -> None:
    assert json_schema()["anyOf"] == [{"$ref": f"#/$defs/{struct.__name__}"} for struct in FILES]


def test_every_reference_leads_to_a_definition() -> None:
    known = definitions()

    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            inner = [found for item in value.values() for found in references(item)]
            return [*inner, value["$ref"]] if isinstance(value.get("$ref"), str) else inner
        return [found for item in value for found in references(item)] if isinstance(value, list) else []

    found = references(json_schema())
    assert found
    assert all(reference.removeprefix("#/$defs/") in known for reference in found)


def test_keys_values_and_our_own_scalars_are_described() -> None:
    line_item, budget = definitions()["LineItem"], definitions()["Budget"]
    assert line_item["additionalProperties"] is False
    assert set(line_item["required"]) == {"id", "creatives"}
    assert budget["properties"]["total"]["type"] == ["number", "string"]
    assert definitions()["Campaign"]["properties"]["pacing"]["enum"] == ["ahead", "asap", "even"]
    assert "2026-11-03" in str(definitions()["Flight"]["properties"]["start"])
