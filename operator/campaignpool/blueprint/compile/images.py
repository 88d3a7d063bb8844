"""Where images belong, compiled against the catalog: how the Job copies them after the rows. Pure."""

from collections.abc import Iterator

from campaignpool.api.blueprint import Blueprint, ImageTables
from campaignpool.blueprint.catalog import Catalog, TableFacts
from campaignpool.blueprint.compile.expressions import IMAGE_VARIABLES, variables_of
from campaignpool.blueprint.compile.plan import ClonePlan, ImagePlan, KeyKind, TablePlan
from campaignpool.errors import BlueprintError


def image_plan(plan: ClonePlan, blueprint: Blueprint, catalog: Catalog) -> ImagePlan:
    """Compile the images of a blueprint, or Active Storage's tables where it names none.

    Raises:
        BlueprintError: With every fault that was found.
    """
    declared = blueprint.images or ImageTables()
    blobs, named = catalog.tables.get(declared.blobs), catalog.tables.get(declared.attachments)
    result = {table.facts.oid: table for table in plan.tables}
    if named is None or blobs is None:
        absent = declared.attachments if named is None else declared.blobs
        raise BlueprintError([f"images: table {absent} does not exist: say under `images` where images belong"])
    table = result.get(named.oid)
    if table is None:
        raise BlueprintError([f"images: table {named.name} is not part of the blueprint: add it to `tables`"])
    faults = [
        f"images: {fault}" for fault in (*_attachments(plan, table, declared), *_blobs(result, blobs, declared))
    ]
    if faults:
        raise BlueprintError(faults)
    key = blobs.column[blobs.primary_key[0]]
    return ImagePlan(
        table.position, declared.blob, tuple(declared.slot), blobs, key, declared.path, dict(declared.set_)
    )


def _attachments(plan: ClonePlan, table: TablePlan, declared: ImageTables) -> Iterator[str]:
    name = table.facts.name
    for column in (declared.blob, *declared.slot):
        if column not in table.facts.column:
            yield f"table {name} has no column {column}: correct its name"
    if declared.blob in table.facts.column and declared.blob not in table.copied:
        yield f"column {declared.blob} of {name} is set, or refers into the blueprint: leave it to the images"
    if any(kind is KeyKind.NUMBERED for kind in table.keys.values()):
        yield f"a table of the blueprint refers to {name}: its rows come after all others, so leave that table out"
    for other in plan.tables:
        targets = {reference.target for reference in other.references}
        targets |= {target for item in other.polymorphic for target in item.targets.values()}
        if table.position in targets:
            yield f"table {other.facts.name} refers to {name}, whose rows come last: leave one of them out"


def _blobs(known: dict[int, TablePlan], blobs: TableFacts, declared: ImageTables) -> Iterator[str]:
    if blobs.oid in known:
        yield f"table {blobs.name} is part of the blueprint: remove it from `tables`"
    if len(blobs.primary_key) != 1:
        yield f"table {blobs.name} has no primary key of one column"
        return
    key = blobs.column[blobs.primary_key[0]]
    if key.name not in declared.set_ and not key.has_default and not key.identity and key.base != "uuid":
        yield f"column {key.name} of {blobs.name} has no default: give it a value under `set`"
    yield from _expressions(blobs, declared)
    new = {key.name, *declared.set_}
    for index in blobs.indexes:
        columns = [column for column in index.columns if column is not None]
        if index.unique and len(columns) == len(index.columns) and not new & set(columns):
            yield f"every copy would violate the unique index {index.name}: set one of {', '.join(columns)}"


def _expressions(blobs: TableFacts, declared: ImageTables) -> Iterator[str]:
    for column, expression in declared.set_.items():
        if column not in blobs.column:
            yield f"table {blobs.name} has no column {column}: correct its name"
        elif blobs.column[column].generated:
            yield f"column {column} of {blobs.name} is generated: remove it from `set`"
        for variable in sorted(variables_of(expression) - IMAGE_VARIABLES):
            choices = ", ".join(f"${name}" for name in sorted(IMAGE_VARIABLES))
            yield f"column {column}: there is no variable ${variable} here: use {choices}"
    for variable in sorted(variables_of(declared.path)):
        yield f"path: there is no variable ${variable} here: it is SQL over a row of {blobs.name}"
