"""The meaning of the database's errors: one table by SQLSTATE for operator, Jobs, command line and client.

`docs/errors.md` is generated from the table. Messages are cleaned here and nowhere else: DETAIL is never used, and
quoted literals are cut, for both carry values of rows.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

import asyncpg

from campaignpool.errors import (
    CampaignPoolError,
    ConfigurationError,
    CredentialsError,
    DefectError,
    SeedingError,
    TransientError,
    UnreachableError,
)


class Kind(StrEnum):
    """Who can do something about an error.

    Attributes:
        seeder: What a Job does after it.
        operator: What the operator does.
        client: What `campaignpool.client` does.
    """

    seeder: str
    operator: str
    client: str

    def __new__(cls, value: str, seeder: str, operator: str, client: str) -> "Kind":
        """Return a member that is also its text."""
        self = str.__new__(cls, value)
        self._value_ = value
        self.seeder, self.operator, self.client = seeder, operator, client
        return self

    TRANSIENT = (
        "transient",
        (
            "Retries 5 times in a row without progress, after 0.5 s to 8 s, then exits with 75; the Job starts "
            "another pod, which continues after the last committed batch."
        ),
        "Retries with growing pauses for as long as the error lasts. Nothing halts.",
        "Retries with growing pauses until `patience` is over, then raises `Unreachable`.",
    )
    DATA = (
        "data",
        (
            "Bisects the batch, quarantines the campaigns that are refused and names row, table and constraint; "
            "exits with 65."
        ),
        (
            "Starts another Job after growing pauses; after 10 failures in a row one Job an hour, until one "
            "succeeds, the spec changes or the annotation `campaignpool.dev/retry` gets a new value."
        ),
        "Raises asyncpg's error unchanged.",
    )
    CONFIGURATION = (
        "configuration",
        "Exits with 78 at once; the run has the cause.",
        "Reports the condition and looks again with growing pauses: a correction is noticed without a restart.",
        "Raises asyncpg's error unchanged.",
    )
    OURS = (
        "ours",
        "Exits with 78 at once; the run has the cause.",
        "Reports `InternalError` and retries with growing pauses.",
        "Raises asyncpg's error unchanged.",
    )


@dataclass(frozen=True)
class Rule:
    """What some SQLSTATEs mean.

    Attributes:
        codes: SQLSTATEs, or their class: the first two characters. The longest that fits counts.
        kind: Who can do something about it.
        reason: As conditions, Events and logs carry it.
        message: The message for people; `{message}` is Postgres' own.
        error: The class that is raised.
    """

    codes: tuple[str, ...]
    kind: Kind
    reason: str
    message: str
    error: type[CampaignPoolError]


RULES = (
    Rule(
        ("08", "57P01", "57P02", "57P04", "57P05", "25P03", "25P04"),
        Kind.TRANSIENT,
        "DatabaseUnreachable",
        "the connection to the database was lost, and is opened again",
        UnreachableError,
    ),
    Rule(
        ("08P01",),
        Kind.TRANSIENT,
        "DatabaseUnreachable",
        "the server or a pooler refuses the connection: {message}",
        UnreachableError,
    ),
    Rule(
        ("57P03",),
        Kind.TRANSIENT,
        "DatabaseUnreachable",
        "the database refuses connections for now: it is starting up, shutting down or recovering",
        UnreachableError,
    ),
    Rule(
        ("53300",),
        Kind.TRANSIENT,
        "TooManyConnections",
        "the server has no connection left: close idle connections, raise max_connections or use a pooler",
        UnreachableError,
    ),
    Rule(
        ("53", "58"),
        Kind.TRANSIENT,
        "DatabaseOutOfResources",
        "the server is short of a resource: {message}: free disk space or memory on the server",
        TransientError,
    ),
    Rule(
        ("25006",),
        Kind.TRANSIENT,
        "DatabaseReadOnly",
        "the database is read-only: {message}: the URL leads to a standby, or default_transaction_read_only is on: "
        "let the URL in the Secret lead to the primary, as by several hosts and target_session_attrs=read-write",
        UnreachableError,
    ),
    Rule(
        ("40", "55P03", "55006", "57014"),
        Kind.TRANSIENT,
        "DatabaseBusy",
        "the database cancelled a statement: {message}: look for long transactions and locks if this stays",
        TransientError,
    ),
    Rule(
        ("28",),
        Kind.CONFIGURATION,
        "DatabaseAuthenticationFailed",
        "the database refuses the user or the password: correct the URL in the Secret",
        CredentialsError,
    ),
    Rule(
        ("3D000",),
        Kind.CONFIGURATION,
        "DatabaseNotFound",
        "the server has no database of this name: correct the URL in the Secret",
        CredentialsError,
    ),
    Rule(
        ("42501",),
        Kind.CONFIGURATION,
        "DatabasePermissionDenied",
        "the database refuses: {message}: grant the right to the role in the URL",
        CredentialsError,
    ),
    Rule(
        ("3F", "42"),
        Kind.CONFIGURATION,
        "SchemaMismatch",
        "the blueprint or the ledger does not fit the schema of the database: {message}: correct the blueprint "
        "where a migration changed the schema, and check it with `campaignpool blueprint check`",
        ConfigurationError,
    ),
    Rule(("CP",), Kind.CONFIGURATION, "ConfigurationInvalid", "{message}", ConfigurationError),
    Rule(
        ("XX001", "XX002"),
        Kind.CONFIGURATION,
        "DatabaseRefused",
        "the server finds its own data corrupted: {message}: REINDEX the table, or restore a backup",
        ConfigurationError,
    ),
    Rule(
        ("42601", "25001", "25P01", "25P02", "26", "34", "XX"),
        Kind.OURS,
        "InternalError",
        "the database refuses a statement of campaignpool: {message}: report this, with the SQLSTATE {sqlstate}",
        DefectError,
    ),
    Rule(("",), Kind.DATA, "SeedingFailed", "{message}", SeedingError),
)
"""The last rule is for every other code, those of the application's own triggers among them."""

NAMES = {
    "08": "connection exceptions",
    "08P01": "protocol_violation, also of poolers",
    "57P01": "admin_shutdown",
    "57P02": "crash_shutdown",
    "57P04": "database_dropped",
    "57P05": "idle_session_timeout",
    "25P03": "idle_in_transaction_session_timeout",
    "25P04": "transaction_timeout",
    "57P03": "cannot_connect_now",
    "53300": "too_many_connections",
    "53": "insufficient resources",
    "58": "system errors",
    "25006": "read_only_sql_transaction",
    "40": "transaction rollback: deadlocks, serialization failures",
    "55P03": "lock_not_available",
    "55006": "object_in_use",
    "57014": "query_canceled: a time-out",
    "28": "invalid authorization",
    "3D000": "invalid_catalog_name",
    "42501": "insufficient_privilege",
    "3F": "invalid schema name",
    "42": "undefined or ambiguous names and types",
    "CP": "refusals of the ledger",
    "42601": "syntax_error",
    "25001": "active_sql_transaction",
    "25P01": "no_active_sql_transaction",
    "25P02": "in_failed_sql_transaction",
    "26": "invalid statement name",
    "34": "invalid cursor name",
    "XX001": "data_corrupted",
    "XX002": "index_corrupted",
    "XX": "internal errors",
    "": "every other code: constraints, values, triggers of the application",
}

_BY_CODE = {code: rule for rule in RULES for code in rule.codes}
_LONGEST = 600


def rule(sqlstate: str | None) -> Rule:
    """Return the rule for an SQLSTATE."""
    code = sqlstate or ""
    return _BY_CODE.get(code) or _BY_CODE.get(code[:2]) or _BY_CODE[""]


def codes(kind: Kind) -> list[str]:
    """Return the SQLSTATEs and classes of a kind."""
    return [code for entry in RULES if entry.kind == kind for code in entry.codes]


def rule_of(error: asyncpg.PostgresError) -> Rule:
    """Return the rule for an error of Postgres; the message decides where one code has two meanings."""
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return rule("08")  # the schema was changed since the connection was opened
    if error.sqlstate == "XX000" and "concurrently" in str(error.args[0]):
        return rule("40001")  # such as GRANT on a function that is replaced at the same moment
    return rule(error.sqlstate)


def is_transient(error: asyncpg.PostgresError) -> bool:
    """Return whether the same statement may succeed later without a change by a person."""
    return rule_of(error).kind == Kind.TRANSIENT


def translate(error: asyncpg.PostgresError) -> CampaignPoolError:
    """Return the error that is raised for an error of Postgres."""
    return _error(rule_of(error), error.sqlstate, described(error))


def _error(meaning: Rule, sqlstate: str | None, message: str) -> CampaignPoolError:
    return meaning.error(meaning.message.format(message=message, sqlstate=sqlstate), reason=meaning.reason)


@dataclass(frozen=True)
class Refusal:
    """What Postgres says of an error, as GET STACKED DIAGNOSTICS or the protocol gives it.

    Attributes:
        code: SQLSTATE.
        message: The message, which may hold values of rows.
        context: CONTEXT, the innermost function first.
        names: Whether double quotes in the message hold names: it is about a table, a type or a statement's text.
    """

    code: str | None
    message: str
    context: str | None
    names: bool = False

    @classmethod
    def of(cls, error: Exception) -> "Refusal":
        """Return what the protocol says of an error."""
        # Quotes hold names where Postgres names a table or a type, or where a statement cannot even be parsed.
        names = any(
            getattr(error, key, None) for key in (*_PLACES, "data_type_name", "position", "internal_position")
        )
        message = str(error.args[0]) if error.args else type(error).__name__
        return cls(getattr(error, "sqlstate", None), message, getattr(error, "context", None), names)

    @property
    def own(self) -> bool:
        """Whether the text is the application's own, which may hold values outside of quotes, too."""
        return _OWN.match(self._innermost) is not None

    @property
    def function(self) -> str | None:
        """The application's function in which it was raised."""
        match = _FUNCTION.match(self._innermost)
        line = f" at line {match[2]}" if match and match[2] else ""
        return f"function {match[1]}{line}" if match else None

    @property
    def _innermost(self) -> str:
        return (self.context or "").split("\n", 1)[0]

    def text(self, raised: str | None = None, place: str = "") -> str:
        """Return the message without values, and where.

        Args:
            raised: The text of the RAISE statement that raised it, as `ledger.seeding.raised_text` finds it.
            place: What is named instead of the function.
        """
        where = place or (f"raised by {self.function}" if self.function else "")
        # A setting or a table that a function of the application lacks is its own, and no value.
        names = self.names or (self.function is not None and (self.code or "").startswith("42"))
        message = (raised or _OWN_TEXT) if self.own else redacted(self.code, self.message, names=names)
        return f"{message}: {where}" if where else message

    def error(self, raised: str | None = None) -> CampaignPoolError:
        """Return the error that is raised for it."""
        return _error(rule(self.code), self.code, self.text(raised))


def described(error: Exception, raised: str | None = None) -> str:
    """Return what the database refused and where: message, function, table, constraint; never a row's values."""
    place = ", ".join(f"{name} {value}" for key, name in _PLACES.items() if (value := getattr(error, key, None)))
    refusal = Refusal.of(error)
    hint = None if refusal.own else getattr(error, "hint", None)
    hint = f" ({redacted(refusal.code, hint, names=refusal.names)})" if hint else ""
    return f"{refusal.text(raised, place)}{hint}"


_PLACES = {"table_name": "table", "constraint_name": "constraint", "column_name": "column"}
_OWN_TEXT = "an error whose text may hold values (the server's log has it)"
_FUNCTION = re.compile(r"PL/\w+ function (?!campaign_pool\.|inline_code_block)(.+?\))(?: line (\d+))?")
_OWN = re.compile(r"PL/(?:pgSQL function (?!campaign_pool\.).* at (?:RAISE|ASSERT)$|(?!pgSQL)\w+ function )")


def redacted(sqlstate: str | None, message: str, *, names: bool) -> str:
    """Return a message of Postgres without values: quoted literals are cut.

    Args:
        sqlstate: The error's code; data exceptions (class 22) quote the value that they refuse.
        message: Postgres' message or hint.
        names: Whether double quotes hold names. They always do for some codes that Postgres alone raises; others are
            raised for values, too, such as 42P01 by a cast to regclass, or 42601 by one to tsquery.
    """
    code = sqlstate or ""
    if (code[:2] == "22" or not names) and not _QUOTES_NAMES.match(code):
        message = _greedy(message)
    return _LITERAL.sub("'…'", message)[:_LONGEST]


_QUOTES_NAMES = re.compile("08|25|28|2B|2200H|3D|40|428C9|42501|53|55|57|58|CP|XX00[12]")
_LITERAL = re.compile(r"(?<!\w)'(?:[^']|'(?=\w))*'")


def _greedy(message: str) -> str:
    """Cut from the first to the last double quote: a value may contain quotes itself."""
    first, last = message.find('"'), message.rfind('"')
    return message if first < 0 else f'{message[:first]}"…"{message[max(last, first) + 1 :]}'


def page() -> str:
    """Return the page of errors, in Markdown."""
    lines = [
        "<!-- Generated from operator/campaignpool/sqlstates.py by `make generate`; do not edit. -->",
        "# Errors of the database",
        "",
        "Operator, seeder, command line and client share one table, by SQLSTATE. A code that is not listed belongs",
        "to its class, its first two characters. Messages never contain values of rows: DETAIL and quoted literals",
        "are cut, and of a RAISE in a function of the application the text is shown with its placeholders.",
        "A constraint that is checked at the commit is found, bisected and explained like any other.",
    ]
    for kind in Kind:
        lines += ["", f"## {_TITLES[kind]}", "", f"- Seeder: {kind.seeder}", f"- Operator: {kind.operator}"]
        lines += [f"- Client: {kind.client}", "", "| SQLSTATE | reason | message |", "| --- | --- | --- |"]
        for entry in RULES:
            if entry.kind == kind:
                codes = "<br>".join(f"`{code}` {NAMES[code]}" if code else NAMES[code] for code in entry.codes)
                message = entry.message.replace("{message}", "*message*").replace("{sqlstate}", "*code*")
                lines.append(f"| {codes} | `{entry.reason}` | {message} |")
    return "\n".join(lines) + "\n"


_TITLES = {
    Kind.TRANSIENT: "Transient: it passes by itself",
    Kind.DATA: "Data: the rows are refused",
    Kind.CONFIGURATION: "Configuration: a person corrects it",
    Kind.OURS: "Ours: a defect of campaignpool",
}
