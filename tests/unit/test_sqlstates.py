"""The table of errors: every SQLSTATE has one kind, the reasons are known, and no message has a row's values."""

from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaignpool import sqlstates
from campaignpool.api.reasons import find
from campaignpool.errors import CampaignPoolError
from campaignpool.sqlstates import NAMES, RULES, Kind, described, redacted, rule
from campaignpool_seeder.exits import EX_CONFIG, EX_DATAERR, EX_TEMPFAIL, exit_code

SECRET = "hunter2"
EXIT_CODES = {
    Kind.TRANSIENT: EX_TEMPFAIL,
    Kind.DATA: EX_DATAERR,
    Kind.CONFIGURATION: EX_CONFIG,
    Kind.OURS: EX_CONFIG,
}


def refused(sqlstate: str, message: str, **fields: str) -> asyncpg.PostgresError:
    """Return an error as the server sends it."""
    return asyncpg.PostgresError.new({"C": sqlstate, "M": message, **fields})


@pytest.mark.parametrize(
    ("sqlstate", "kind", "reason"),
    [
        ("08006", Kind.TRANSIENT, "DatabaseUnreachable"),
        ("57P03", Kind.TRANSIENT, "DatabaseUnreachable"),
        ("53300", Kind.TRANSIENT, "TooManyConnections"),
        ("53100", Kind.TRANSIENT, "DatabaseOutOfResources"),
        ("58030", Kind.TRANSIENT, "DatabaseOutOfResources"),
        ("25006", Kind.TRANSIENT, "DatabaseReadOnly"),
        ("25P03", Kind.TRANSIENT, "DatabaseUnreachable"),
        ("40001", Kind.TRANSIENT, "DatabaseBusy"),
        ("55P03", Kind.TRANSIENT, "DatabaseBusy"),
        ("28P01", Kind.CONFIGURATION, "DatabaseAuthenticationFailed"),
        ("42501", Kind.CONFIGURATION, "DatabasePermissionDenied"),
        ("42P01", Kind.CONFIGURATION, "SchemaMismatch"),
        ("CP001", Kind.CONFIGURATION, "ConfigurationInvalid"),
        ("42601", Kind.OURS, "InternalError"),
        ("XX000", Kind.OURS, "InternalError"),
        ("XX002", Kind.CONFIGURATION, "DatabaseRefused"),
        ("23505", Kind.DATA, "SeedingFailed"),
        ("22001", Kind.DATA, "SeedingFailed"),
        ("P0001", Kind.DATA, "SeedingFailed"),
        ("ZX001", Kind.DATA, "SeedingFailed"),
        ("0A000", Kind.DATA, "SeedingFailed"),
    ],
)
def test_each_code_has_one_kind(sqlstate: str, kind: Kind, reason: str) -> None:
    assert (rule(sqlstate).kind, rule(sqlstate).reason) == (kind, reason)


def test_the_class_of_the_error_agrees_with_its_kind() -> None:
    for entry in RULES:
        error = entry.error("a message", reason=entry.reason)
        assert exit_code(error) == EXIT_CODES[entry.kind], entry
        assert error.retry == (entry.kind == Kind.TRANSIENT), entry


def test_every_reason_and_every_code_is_documented() -> None:
    assert [entry.reason for entry in RULES if find(entry.reason) is None] == []
    assert {code for entry in RULES for code in entry.codes} == NAMES.keys()


def test_the_page_is_generated() -> None:
    assert Path("docs/errors.md").read_text() == sqlstates.page()


def test_two_messages_tell_apart_what_one_code_means() -> None:
    assert sqlstates.is_transient(refused("XX000", "tuple concurrently updated"))
    assert not sqlstates.is_transient(refused("XX000", "cache lookup failed for type 42"))
    assert sqlstates.is_transient(asyncpg.InvalidCachedStatementError("cached plan must not change result type"))


def test_a_refusal_names_table_and_constraint_and_no_values() -> None:
    error = refused(
        "23514",
        'new row for relation "weapons" violates check constraint "positive"',
        D=f"Failing row contains ({SECRET}).",
        t="weapons",
        n="positive",
    )
    assert described(error) == (
        'new row for relation "weapons" violates check constraint "positive": table weapons, constraint positive'
    )


def test_a_refusal_of_the_applications_own_trigger_names_its_function() -> None:
    error = refused(
        "23514",
        f'the campaign "{SECRET}" needs a member',
        W='PL/pgSQL function has_member() line 4 at RAISE\nSQL statement "INSERT"',
    )
    where = "raised by function has_member() at line 4"
    assert described(error) == f"an error whose text may hold values (the server's log has it): {where}"
    assert described(error, 'the campaign "%" needs a member') == f'the campaign "%" needs a member: {where}'


def test_a_function_of_the_ledger_is_not_named() -> None:
    error = refused("P0001", "no", W="PL/pgSQL function campaign_pool.seed(text,text,integer) line 3 at RAISE")
    assert described(error) == "no"


QUOTING = [
    ("22P02", 'invalid input syntax for type integer: "{}"', False),
    ("22P02", 'invalid input value for enum mood: "{}"', False),
    ("22007", 'invalid input syntax for type date: "{}"', False),
    ("22003", 'value "{}" is out of range for type integer', False),
    ("P0001", 'hero "{}" refused', False),
    ("23505", 'the name "{}" is taken', False),
    ("P0001", "hero '{}' refused", False),
    ("42601", "syntax error at or near '{}'", False),
]
VALUES = st.text("ab\"'é \n%", min_size=1, max_size=12).map(lambda text: f"s3cret{text}s3cret")


@given(st.sampled_from(QUOTING), VALUES)
def test_quoted_values_are_cut(case: tuple[str, str, bool], value: str) -> None:
    sqlstate, message, names = case
    if "'{}'" in message:
        value = value.replace("'", "''").replace('"', "")
    text = redacted(sqlstate, message.format(value), names=names)
    assert "s3cret" not in text


@pytest.mark.parametrize(
    ("sqlstate", "message"),
    [
        ("2200H", 'nextval: reached maximum value of sequence "heroes_id_seq" (2147483647)'),
        ("55000", 'cannot delete from table "heroes" because it does not have a replica identity'),
        ("42501", 'permission denied for table "heroes"'),
        ("0A000", "cannot do this"),
        ("P0001", "it isn't allowed, and can't be"),
    ],
)
def test_names_stay(sqlstate: str, message: str) -> None:
    assert redacted(sqlstate, message, names=False) == message


@pytest.mark.parametrize(
    ("sqlstate", "message", "fields"),
    [
        ("P0001", f"hero {SECRET} is locked", {"W": "PL/pgSQL function lock() line 2 at RAISE"}),
        ("P0001", f"hero {SECRET} is locked", {"W": "PL/pgSQL function lock() line 2 at RAISE", "t": "heroes"}),
        ("P0001", "locked", {"W": "PL/pgSQL function lock() line 2 at RAISE", "H": f"ask {SECRET}"}),
        ("P0004", f"{SECRET} failed", {"W": "PL/pgSQL function lock() line 2 at ASSERT"}),
        ("XX000", f"KeyError: {SECRET}", {"W": 'PL/Python function "lock"'}),
        ("42P01", f'relation "{SECRET}" does not exist', {}),  # of `password::regclass`
        ("42704", f'unrecognized configuration parameter "{SECRET}"', {}),
        ("42601", f'syntax error in tsquery: "{SECRET}"', {}),
        ("0A000", f'cross-database references are not implemented: "{SECRET}.a.b"', {}),
        ("XX000", f'unexpected "{SECRET}"', {}),
    ],
)
def test_no_text_of_the_applications_own_is_shown(sqlstate: str, message: str, fields: dict[str, str]) -> None:
    error = refused(sqlstate, message, **fields)
    assert SECRET not in described(error)
    assert SECRET not in sqlstates.translate(error).message


@pytest.mark.parametrize(
    ("sqlstate", "message", "fields"),
    [
        ("42P01", 'relation "heroes" does not exist', {"P": "15"}),
        ("42704", 'unrecognized configuration parameter "app.tenant"', {"W": "PL/pgSQL function f() line 2 at IF"}),
    ],
)
def test_names_of_a_statement_or_a_function_stay(sqlstate: str, message: str, fields: dict[str, str]) -> None:
    assert message in described(refused(sqlstate, message, **fields))


def test_every_rule_gives_a_message() -> None:
    for entry in RULES:
        code = (entry.codes[0] + "000")[:5] if entry.codes[0] else "99999"
        error = sqlstates.translate(refused(code, "why"))
        assert isinstance(error, CampaignPoolError)
        assert "{" not in error.message
