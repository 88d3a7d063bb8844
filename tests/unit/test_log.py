"""Log lines for people and for machines."""

import json
import logging

import pytest

from campaignpool.log import JsonFormatter, TextFormatter, readable


def record(**facts: object) -> logging.LogRecord:
    created = logging.makeLogRecord(
        {"msg": "%d of %d ready", "args": (1, 2), "levelname": "INFO", "name": "seeder", **facts}
    )
    created.created = 0.0
    return created


def test_text_has_the_message_and_then_the_facts() -> None:
    assert TextFormatter().format(record(rows=5)) == "1970-01-01T00:00:00.000Z INFO 1 of 2 ready rows=5"


def test_json_has_the_facts_as_fields() -> None:
    assert json.loads(JsonFormatter().format(record(rows=5))) == {
        "time": "1970-01-01T00:00:00.000Z",
        "level": "info",
        "logger": "seeder",
        "message": "1 of 2 ready",
        "rows": 5,
    }


def test_a_line_for_machines_is_shown_to_people_as_text() -> None:
    assert readable(JsonFormatter().format(record(rows=5))) == TextFormatter().format(record(rows=5))


@pytest.mark.parametrize("line", ["", "Killed", "3", "[1]", '"text"', "{}", '{"time": 1, "level": 2}'])
def test_a_line_that_is_not_ours_is_shown_as_it_is(line: str) -> None:
    assert readable(line) == line
