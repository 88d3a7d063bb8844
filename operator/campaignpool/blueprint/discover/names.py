"""What names suggest. A hint is never enough alone: it breaks a tie, proposes a filter, or explains a mark."""

import re

from campaignpool.blueprint.catalog import Column, TableFacts
from campaignpool.blueprint.compile.keys import INTEGERS

TEXTS = frozenset({"text", "character varying", "bpchar"})
_NO_TYPE_NAME = frozenset({"uuid", "boolean", "json", "jsonb", "bytea", "interval", "double precision", "numeric"})
"""Types of a column that cannot hold the name of a type; enums, texts and numbers can."""

TIMES = frozenset({"timestamp without time zone", "timestamp with time zone", "date"})

STAMPS = frozenset({
    "created_at", "updated_at", "inserted_at", "modified_at", "created_on", "updated_on", "created", "updated",
    "modified",
})  # fmt: skip
"""Times that say when a row was written."""

CHANGED = frozenset({"updated_at", "modified_at", "updated_on", "updated", "modified"})
"""Of these, what says when a row was changed."""

VISIBLE = frozenset({"active", "is_active"})
"""Booleans that hide a campaign while they are false."""

_KEEP = frozenset({"active", "is_active", "enabled", "published", "is_template", "template"})
_DROP = frozenset({"deleted", "is_deleted", "archived", "is_archived", "discarded", "hidden"})
_GONE = frozenset({"deleted_at", "discarded_at", "archived_at", "removed_at"})
_SECRET = re.compile(
    r"(^|_)(token|secret|api_key|jti|password_digest|encrypted_password|(invite|access|join|share)_(code|key|hash))$"
)
_HAPPENS = re.compile(
    r"^(started|ended|finished|begun|completed|played|expires|expired|sent|read|seen|accepted|redeemed|occurred|"
    r"happened|logged|closed|resolved)_(at|on)$"
)
_RECORDS = re.compile(
    r"(^|_)(logs?|audits?|audit_trail|events?|versions?|history|histories|activity|activities|notifications?|"
    r"messages?|sessions?|visits?)$"
)
_MEMBERS = re.compile(r"(^|_)(members?|memberships?|participants?|participations?|enrollments?)$", re.IGNORECASE)
_OWNER = (
    "user_id", "owner_id", "account_id", "profile_id", "player_id", "gamemaster_id", "creator_id", "created_by_id",
    "author_id", "owner", "created_by", "user",
)  # fmt: skip
_PEOPLE = re.compile(
    r"(^|_)(users?|accounts?|owners?|players?|profiles?|people|persons?|members?|customers?|gamemasters?|logins?)$"
)
_LISTS = re.compile(r"(^|_)(ancestry|lineage|materialized_path|id_path|path_ids|ids)$")


def snake(name: str) -> str:
    """Return a name as most frameworks write it: `created_at` of `createdAt`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def is_text(base: str) -> bool:
    """Return whether a type is one of text; `citext` may be in any schema."""
    return base in TEXTS or base.rpartition(".")[2] == "citext"


def filters(table: TableFacts, *, root: bool) -> list[str]:
    """Return conditions that leave out what a template keeps but does not give away, as its columns suggest."""
    if root:
        return []
    results = []
    for column in table.columns:
        name = snake(column.name)
        if column.base == "boolean" and name in _KEEP:
            results.append(quoted(column.name))
        elif column.base == "boolean" and name in _DROP:
            results.append(f"{quoted(column.name)} IS NOT TRUE")
        elif column.base in TIMES and name in _GONE:
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
    return is_text(column.base) and _SECRET.search(snake(column.name)) is not None


def happenings(table: TableFacts) -> list[str]:
    """Return columns that say when something began, ended or was done: what is played has them."""
    return [column.name for column in table.columns if column.base in TIMES and _HAPPENS.match(snake(column.name))]


def records(table: TableFacts) -> bool:
    """Whether a table's name says that it records what happened."""
    return _RECORDS.search(snake(table.relation)) is not None


def membership(table: TableFacts) -> bool:
    """Return whether a table's name says that it records who belongs to a campaign."""
    return _MEMBERS.search(snake(table.relation)) is not None


def owner_first(column: str) -> int:
    """Order columns that may name the owner of a campaign: the usual ones first."""
    name = snake(column)
    return _OWNER.index(name) if name in _OWNER else len(_OWNER)


def is_owner(column: str, target: TableFacts | None) -> bool:
    """Return whether a reference of a campaign may say whose it is, rather than of which kind it is."""
    return snake(column) in _OWNER or (target is not None and people(target))


def people(table: TableFacts) -> bool:
    """Return whether a table's name says that its rows are people or their accounts."""
    return _PEOPLE.search(snake(table.relation)) is not None


def joins(table: TableFacts) -> bool:
    """Return whether a table refers to two others, as one does that says who belongs to a campaign."""
    return len({key.target for key in table.foreign_keys}) > 1


def lists_ids(column: Column) -> bool:
    """Return whether a text column's name says that it holds ids one after the other."""
    return is_text(column.base) and _LISTS.search(snake(column.name)) is not None


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

    Of Django's generic foreign keys, a reference to `django_content_type` names the type.
    """
    bound = {name for key in table.foreign_keys for name in key.columns}
    results = []
    for column in table.columns:
        ids = [name for name in _ids_beside(table, column.name) if name in table.column and name not in bound]
        if not ids or column.base in _NO_TYPE_NAME:
            continue
        id_column = table.column[ids[0]]
        if id_column.base in INTEGERS | {"uuid"} or is_text(id_column.base):
            results.append((column.name, id_column.name))
    return results


def content_type(table: TableFacts, column: str) -> str | None:
    """Return the table of Django's content types that a column refers to, as SQL writes it."""
    for key in table.foreign_keys:
        if key.columns == (column,) and key.target_name.rpartition(".")[2] == "django_content_type":
            return key.target_name
    return None


def _ids_beside(table: TableFacts, column: str) -> list[str]:
    """Return the names that the id column beside a column that names a type can have; none where it names none."""
    if content_type(table, column):
        stem = re.sub(r"_?(content_type|ctype|ct|type)_id$", "", column)
        return [f"{stem}_object_id", f"{stem}_id", f"{stem}_object_pk"] if stem else ["object_id", "object_pk"]
    name = _id_beside(column)
    return [name] if name else []


def _id_beside(column: str) -> str:
    """Return the name of the id column beside a column that names a type; empty where it names none."""
    if column == "content_type_id":
        return "object_id"
    for suffix, end in (("_type", "_id"), ("Type", "Id")):
        if column.endswith(suffix) and column != suffix:
            return column.removesuffix(suffix) + end
    return ""
