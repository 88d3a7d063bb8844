"""The blueprint: what makes a campaign, as a person declares it.

A blueprint names the root table, the tables below it, which rows, which columns are set rather than copied,
which columns are polymorphic references, and what happens on a claim. What a database can say of itself
(keys, foreign keys, unique indexes) is not repeated here: `campaignpool.clone` reads it from the catalog.

Expressions are SQL over the row that is being copied, with these variables:

| variable | in `set` | in `onClaim` |
| --- | --- | --- |
| `$campaign` | key of the new campaign | key of the claimed campaign |
| `$name` | a name that no other campaign has, made from the pool's name and the campaign's id | the same |
| `$owner` | the owner the campaign is kept for; NULL in the master pool | the claimant |
| `$id` | the campaign's id in the ledger, a uuid as text | not available |
| `$clone_of(table, key)` | key of the clone of a row of the template; NULL where it is none | not available |
| `$claimant` | not available | who claims |
"""

from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError

from campaignpool.api.model import Model
from campaignpool.errors import BlueprintError

TableName = Annotated[str, Field(min_length=1, max_length=130)]
"""A table as SQL writes it: `campaigns`, `game.campaigns`, `"Odd Name"`; resolved by the role's search path."""

ColumnName = Annotated[str, Field(min_length=1, max_length=63)]
ReferenceName = Annotated[str, Field(min_length=1, max_length=300)]
Expression = Annotated[str, Field(min_length=1, max_length=1000)]


class Polymorphic(Model):
    """A reference whose target table stands in a column beside it."""

    type: ColumnName
    """Column that names the type of the target, such as `record_type`."""
    id: ColumnName
    """Column that holds the key of the target, such as `record_id`."""
    targets: dict[str, TableName] = Field(min_length=1, max_length=64)
    """From the name of a type, as the type column holds it, to its table. Rows of other types are copied
    unchanged when something else makes them part of the campaign, and left out otherwise."""


class Table(Model):
    """A table below the root whose rows belong to the campaign."""

    name: TableName
    """The table."""
    where: Expression | None = None
    """SQL condition on the columns of the table: rows that do not hold it are left out. A reference to a row
    that is left out becomes NULL where it may be; else the row that holds it is left out too."""
    via: list[ColumnName] | None = Field(default=None, min_length=1, max_length=8)
    """Columns of the references that make a row part of the campaign. By default: the reference to the root
    where there is one, else every required reference to a table of the blueprint, else the polymorphic
    ones, else the remaining ones. Where all of several may be NULL, one that is not is enough."""
    set_: dict[ColumnName, Expression] = Field(default_factory=dict, alias="set", max_length=64)
    """Columns that are not copied but set, each to an SQL expression."""
    references: dict[ReferenceName, TableName] = Field(default_factory=dict, max_length=32)
    """References that the database does not declare as foreign keys: column to the table whose primary key it
    holds. An array column holds one key in each element; in a JSON column, `layout.steps[*].id` leads to the keys.
    In arrays and JSON, keys that are no rows of the template stay unchanged."""
    polymorphic: list[Polymorphic] = Field(default_factory=list, max_length=8)
    """Polymorphic references of the table."""
    trigger_rows: Literal["Refuse", "Replace", "Keep"] = "Refuse"
    """Rows that a trigger adds to this table while a campaign is cloned. `Refuse`: they are an error. `Replace`: they
    are deleted, and the template's rows are inserted. `Keep`: they are the campaign's; nothing is copied."""
    restore: list[ColumnName] = Field(default_factory=list, max_length=64)
    """Columns that triggers change while a campaign is cloned, such as counters: once all rows are inserted, they get
    the template's values again."""


class Root(Model):
    """The root table: one row of it is one campaign."""

    table: TableName
    """The table of the campaigns. It cannot change once the pool exists."""
    set_: dict[ColumnName, Expression] = Field(default_factory=dict, alias="set", max_length=64)
    """Columns of the campaign itself that are not copied but set, each to an SQL expression."""
    references: dict[ReferenceName, TableName] = Field(default_factory=dict, max_length=32)
    """References of the campaign itself that the database does not declare as foreign keys, as for other tables."""
    restore: list[ColumnName] = Field(default_factory=list, max_length=64)
    """Columns that triggers change while a campaign is cloned, such as counters: once all rows are inserted, they get
    the template's values again."""


class Insert(Model):
    """A row to insert when a campaign is claimed."""

    table: TableName
    """The table to insert into."""
    values: dict[ColumnName, Expression] = Field(min_length=1, max_length=64)
    """Column to SQL expression."""


class OnClaim(Model):
    """What a claim does to the campaign, in its own transaction. Keep it small: a claim should touch few rows."""

    set_: dict[ColumnName, Expression] = Field(default_factory=dict, alias="set", max_length=64)
    """Columns of the root row to set."""
    insert: list[Insert] = Field(default_factory=list, max_length=8)
    """Rows to insert, such as the claimant's membership."""


_METADATA = (
    "coalesce(nullif(metadata::text, ''), '{}')::jsonb || jsonb_build_object('imagekit', "
    "jsonb_build_object('file_id', $file_id, 'file_path', $path, 'url', $url))"
)


class ImageTables(Model):
    """Where images belong. The defaults are Active Storage's; other tables of such a shape can be declared."""

    attachments: TableName = "active_storage_attachments"
    """Table whose rows say which record shows which blob. It is one of the blueprint's tables."""
    blob: ColumnName = "blob_id"
    """Its column that holds the blob's key."""
    slot: list[ColumnName] = Field(
        default_factory=lambda: ["record_type", "record_id", "name"], min_length=1, max_length=8
    )
    """Its columns that say where the image is shown: what the application has put there meanwhile is left alone."""
    blobs: TableName = "active_storage_blobs"
    """Table of the blobs. It is not one of the blueprint's tables: blobs are copied with their files."""
    path: Expression = "'/' || key"
    """SQL over a row of it: the path of its file in the store. NULL: it is not there, and the blob is shared."""
    set_: dict[ColumnName, Expression] = Field(
        default_factory=lambda: {
            "key": "ltrim($path, '/')",
            "metadata": _METADATA,
            "byte_size": "coalesce($size, byte_size)",
            "created_at": "now()",
        },
        alias="set",
        max_length=64,
    )
    """Columns of the new blob that are not copied from the template's but set: SQL over the template's row, with
    `$file_id`, `$path`, `$url` and `$size` of the new file, and `$campaign`, the key of the campaign."""


class Blueprint(Model):
    """What makes a campaign."""

    root: Root
    """The root table."""
    tables: list[Table] = Field(default_factory=list, max_length=128)
    """The tables below it, in any order. A table that is not named here is not copied."""
    on_claim: OnClaim = Field(default_factory=OnClaim)
    """What a claim does."""
    allow_subqueries: bool = False
    """Whether expressions may have sub-selects on tables outside the blueprint. Expressions run with the rights of
    the role in the database's Secret, the blueprint's author."""
    images: ImageTables | None = None
    """Where images belong, for the strategies that copy them; by default Active Storage's tables."""


def parse(text: str, source: str) -> Blueprint:
    """Read a blueprint from YAML text.

    Args:
        text: The YAML document.
        source: Where it comes from, for messages: `ConfigMap game/chiwar, key blueprint.yaml`.

    Raises:
        BlueprintError: With one fault for every field that is wrong, each naming the field.
    """
    try:
        return Blueprint.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f" in line {place.line + 1}" if place else ""
        raise BlueprintError([f"{source} is not YAML{where}: fix its syntax"]) from error
    except ValidationError as error:
        faults = [
            f"{source}: {'.'.join(str(part) for part in item['loc']) or 'blueprint'}: {item['msg']}"
            for item in error.errors()
        ]
        raise BlueprintError(faults) from error
