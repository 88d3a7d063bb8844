"""What names suggest. A hint is never enough alone: it breaks a tie, proposes a filter, or explains a mark."""

import re

from campaignpool.blueprint.catalog import Column, TableFacts
from campaignpool.blueprint.compile.keys import INTEGERS

TEXTS = frozenset({"text", "character varying", "bpchar", "public.citext"})
_NO_TYPE_NAME = frozenset({"uuid", "boolean", "json", "jsonb", "bytea", "interval", "double precision", "numeric"})
"""Types of a column that cannot hold the name of a type; enums, texts and numbers can."""

TIMES = frozenset({"timestamp without time zone", "timestamp with time zone", "date"})

STAMPS = frozenset({"created_at", "updated_at", "inserted_at", "modified_at", "created_on", "updated_on"})
"""Times that say when a row was written."""

_KEEP = frozenset({"active", "is_active", "enabled", "published", "is_template", "template"})
_DROP = frozenset({"deleted", "is_deleted", "archived", "is_archived", "discarded", "hidden"})
_GONE = frozenset({"deleted_at", "discarded_at", "archived_at", "removed_at"})
_SECRET = re.compile(r"(^|_)(token|secret|api_key|jti|password_digest|encrypted_password|invite_code|access_code)$")
_HAPPENS = re.compile(
    r"^(started|ended|finished|begun|completed|played|expires|expired|sent|read|seen|accepted|redeemed|occurred|"
    r"happened|logged|closed|resolved)_(at|on)$"
)
_RECORDS = re.compile(
    r"(^|_)(logs?|audits?|audit_trail|events?|versions?|history|histories|activity|activities|notifications?|"
    r"messages?|sessions?|visits?)$"
)
_MEMBERS = re.compile(r"(^|_)(members?|memberships?|participants?|participations?|enrollments?)$", re.IGNORECASE)
_OWNER = ("user_id", "owner_id", "account_id", "player_id", "gamemaster_id", "creator_id", "created_by_id")


def filters(table: TableFacts, *, root: bool) -> list[str]:
    """Return conditions that leave out what a template keeps but does not give away, as its columns suggest."""
    if root:
        return []
    results = []
    for column in table.columns:
        if column.base == "boolean" and column.name in _KEEP:
            results.append(quoted(column.name))
        elif column.base == "boolean" and column.name in _DROP:
            results.append(f"{quoted(column.name)} IS NOT TRUE")
        elif column.base in TIMES and column.name in _GONE:
            results.append(f"{quoted(column.name)} IS NULL")
    return results


def is_uuid(text: str) -> bool:
    """Whether text is a uuid, as Postgres writes it."""
    return re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) is not None


def counted(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def quoted(name: str) -> str:
    """Return a column as an expression writes it: in quotes only where it needs them."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'


def secret(column: Column) -> bool:
    """Whether a column seems to hold something that no two rows may share, or nobody may know."""
    return column.base in TEXTS and _SECRET.search(column.name) is not None


def happenings(table: TableFacts) -> list[str]:
    """Return columns that say when something began, ended or was done: what is played has them."""
    return [column.name for column in table.columns if column.base in TIMES and _HAPPENS.match(column.name)]


def records(table: TableFacts) -> bool:
    """Whether a table's name says that it records what happened."""
    return _RECORDS.search(table.relation) is not None


def membership(table: TableFacts) -> bool:
    """Return whether a table's name says that it records who belongs to a campaign."""
    return _MEMBERS.search(table.relation) is not None


def owner_first(column: str) -> int:
    """Order columns that may name the owner of a campaign: the usual ones first."""
    return _OWNER.index(column) if column in _OWNER else len(_OWNER)


def means(type_name: str, table: TableFacts) -> bool:
    """Whether a type's name is what a framework would make of a table's: `Character`, `Game::Hero` or `heroes`."""
    relation = re.sub(r"[^0-9a-z]", "", table.relation.lower())
    spelled = re.sub(r"[^0-9a-z]", "", type_name.lower())
    last = re.sub(r"[^0-9a-z]", "", re.split(r"::|\.|/|\\", type_name)[-1].lower())
    return any(relation in _plurals(word) for word in (spelled, last))


def _plurals(word: str) -> set[str]:
    names = {word, f"{word}s", f"{word}es", f"{word[:-1]}ies"}
    names |= {f"{word[:-1]}ves", f"{word[:-2]}ves"} if word.endswith(("f", "fe")) else set()
    for one, many in _IRREGULAR.items():
        if word.endswith(one):
            names.add(f"{word.removesuffix(one)}{many}")
    return names


_IRREGULAR = {
    "person": "people", "child": "children", "man": "men", "foot": "feet", "tooth": "teeth", "goose": "geese",
    "mouse": "mice", "ox": "oxen", "die": "dice", "datum": "data", "medium": "media", "criterion": "criteria",
    "index": "indices", "matrix": "matrices", "vertex": "vertices", "axis": "axes", "sis": "ses",
}  # fmt: skip


def key_stem(column: str) -> str | None:
    """Return what a column is the key of by its name: `hero` of `hero_id` or `heroId`; None where it says nothing."""
    match = re.fullmatch(r"(\w+?)(?:_(?:id|uuid|ulid|key)|Id|ID|Uuid)", column)
    return match[1] if match else None


def pairs(table: TableFacts) -> list[tuple[str, str]]:
    """Return columns `x_type` and `x_id`, or `xType` and `xId`, that can name a type and an id without a foreign key.

    Of Django's generic foreign keys, `content_type_id` names the type.
    """
    bound = {name for key in table.foreign_keys for name in key.columns}
    results = []
    for column in table.columns:
        id_column = table.column.get(_id_beside(column.name))
        if id_column is None or id_column.name in bound or column.base in _NO_TYPE_NAME:
            continue
        if id_column.base in INTEGERS | TEXTS | {"uuid"}:
            results.append((column.name, id_column.name))
    return results


def _id_beside(column: str) -> str:
    """Return the name of the id column beside a column that names a type; empty where it names none."""
    if column == "content_type_id":
        return "object_id"
    for suffix, end in (("_type", "_id"), ("Type", "Id")):
        if column.endswith(suffix) and column != suffix:
            return column.removesuffix(suffix) + end
    return ""
