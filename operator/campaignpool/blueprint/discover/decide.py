"""From facts to a proposed blueprint. Pure: the same facts give the same proposal."""

from collections.abc import Mapping, Set
from dataclasses import replace

from campaignpool.api.blueprint import Blueprint, Insert, OnClaim, Polymorphic, Root, Table
from campaignpool.blueprint.catalog import TableFacts
from campaignpool.blueprint.compile import compiler
from campaignpool.blueprint.discover import choose, names, settings
from campaignpool.blueprint.discover.discovery import ClaimRow, Discovery, Note, Reference, Setting, TableIn, TableOut
from campaignpool.blueprint.discover.facts import Facts
from campaignpool.blueprint.discover.walk import meant
from campaignpool.blueprint.quote import literal
from campaignpool.blueprint.sql.census import Reached
from campaignpool.errors import BlueprintError


def decide(facts: Facts) -> Discovery:
    """Propose a blueprint."""
    root = facts.walk.reached[facts.root].facts
    owner, target = _owner(facts, root)
    people = choose.people_of(facts, target)
    out = choose.left_out(facts, people)
    claim_rows = _claim_rows(facts, people)
    inside = {oid for oid in facts.walk.reached if oid not in out}
    tables = [_table(facts, table, inside, set(out)) for oid, table in facts.walk.reached.items() if oid in inside]
    discovery = Discovery(
        template=f"{facts.template} ({facts.condition or 'by its key'})",
        root=_root(facts, root, owner, inside, set(out)),
        tables=tuple(tables[1:]),
        left_out=(*out.values(), *_beside(facts, people)),
        claim=tuple(_claim(root, owner)),
        claim_rows=tuple(claim_rows),
        claim_notes=tuple(_claim_notes(facts, root, owner, rows=bool(claim_rows))),
    )
    try:
        compiler.compile_plan(as_blueprint(discovery), facts.catalog)
    except BlueprintError as error:
        return replace(discovery, faults=tuple(error.faults))
    return discovery


def as_blueprint(found: Discovery) -> Blueprint:
    """Return the proposal as a blueprint, without its reasons."""
    return Blueprint(
        root=Root(table=found.root.name, set_=_sets(found.root.settings), references=dict(found.root.references)),
        tables=[
            Table(
                name=table.name,
                where=table.where,
                set_=_sets(table.settings),
                references=dict(table.references),
                polymorphic=[
                    Polymorphic(type=pair.type_column, id=pair.id_column, targets=dict(pair.targets))
                    for pair in table.polymorphic
                ],
            )
            for table in found.tables
        ],
        on_claim=OnClaim(
            set_=_sets(found.claim),
            insert=[Insert(table=row.table, values=dict(row.values)) for row in found.claim_rows],
        ),
    )


def _sets(found: tuple[Setting, ...]) -> dict[str, str]:
    return {item.column: item.expression for item in found if item.expression is not None}


def _owner(facts: Facts, root: TableFacts) -> tuple[str | None, int | None]:
    """Return the column that says whose a campaign is, and the oid of the table of its owners."""
    keys = [
        key
        for key in root.foreign_keys
        if len(key.columns) == 1
        and key.target not in (*facts.walk.reached, root.oid)
        and names.is_owner(key.columns[0], _table_of(facts, key.target))
    ]
    if not keys:
        return None, None
    best = min(keys, key=lambda key: (names.owner_first(key.columns[0]), not root.column[key.columns[0]].not_null))
    return best.columns[0], best.target


def _table_of(facts: Facts, oid: int) -> TableFacts | None:
    return next((table for table in facts.catalog.tables.values() if table.oid == oid), None)


def _root(facts: Facts, root: TableFacts, owner: str | None, inside: set[int], out: set[int]) -> TableIn:
    results = [*settings.of_root(facts, owner), *settings.root_pointers(facts, out)]
    notes = settings.notes(
        facts, root, inside, out, {item.column for item in results} | ({owner} if owner else set())
    )
    if owner and root.column[owner].not_null:
        notes.insert(
            0, Note(f"{owner} is copied: until somebody claims it, a campaign belongs to the template's owner")
        )
    comment = f"the template is one of {facts.campaigns:,} rows"
    references = _references(facts, root, inside, {item.column for item in results} | ({owner} if owner else set()))
    return TableIn(facts.names[root.oid], comment, settings=tuple(results), notes=tuple(notes), references=references)


def _table(facts: Facts, table: Reached, inside: set[int], out: set[int]) -> TableIn:
    own, counted = table.facts, facts.census[table.facts.oid]
    where, why = settings.filtered(own, counted)
    result = settings.of_table(facts, own, inside, out)
    polymorphic, notes = _polymorphic(facts, own, inside)
    notes += settings.notes(facts, own, inside, out, {item.column for item in result})
    if table.loose:
        several = " or ".join(hang.columns[0] for hang in table.hangs)
        notes.insert(
            0, Note(f"belongs to the campaign by {several} alone, which may be NULL: is it template?", look=True)
        )
    if own.oid in facts.unanchored:
        columns, rows = facts.unanchored[own.oid]
        anchor = " and ".join(hang.columns[0] for hang in table.hangs)
        how = f"`via: [{', '.join(columns)}]` copies them" if columns else f"fill {anchor} to copy them"
        text = f"{names.counted(rows, 'row')} with {anchor} NULL left out, though other columns say whose: {how}"
        notes.insert(0, Note(text, look=True))
    if why and not where:
        notes.insert(0, Note(why, look=True))
    happens = [column for column in names.happenings(own) if counted.filled.get(column)]
    if happens:
        notes.append(Note(f"{', '.join(happens)} are copied", look=True))
    comment = f"{names.counted(counted.rows, 'row')} of the template, of {counted.total:,}"
    references = _references(facts, own, inside, {item.column for item in result})
    return TableIn(
        facts.names[own.oid], comment, where, why, tuple(result), tuple(polymorphic), tuple(notes), references
    )


def _references(facts: Facts, table: TableFacts, inside: set[int], settled: set[str]) -> dict[str, str]:
    """Return the columns that hold keys of tables of the blueprint without a foreign key."""
    implied = facts.implied.get(table.oid, {})
    return {name: facts.names[to] for name, to in implied.items() if to in inside and name not in settled}


def _polymorphic(facts: Facts, table: TableFacts, inside: set[int]) -> tuple[list[Reference], list[Note]]:
    tables: Mapping[int, TableFacts] = {item.oid: item for item in facts.catalog.tables.values()}
    found, notes = [], []
    for pair in facts.pairs:
        if pair.table != table.oid:
            continue
        targets: dict[str, str] = {}
        for type_ in pair.types:
            target = meant(type_, tables)
            name = f"{type_.name} ({type_.label})" if type_.label else type_.name
            if target in inside:
                targets[type_.name] = facts.names[target]
                if len(type_.hits) > 1 and not type_.label:
                    notes.append(Note(f"{type_.name}: its ids are keys of several tables; its name decided"))
            elif target:
                notes.append(Note(f"rows of type {name} ({facts.names[target]}) are no part of a campaign"))
            else:
                tried = f"{names.counted(type_.looked_up, 'id')} looked up" if type_.looked_up else "none has an id"
                notes.append(Note(f"type {name} fits no table: {tried}", look=True))
        if any(type_.label for type_ in pair.types):
            notes.append(Note("the types are numbers of django_content_type, which are this database's own"))
        if targets:
            found.append(Reference(pair.type_column, pair.id_column, targets))
    return found, notes


def _beside(facts: Facts, people: Set[int]) -> list[TableOut]:
    results = []
    for oid, columns in facts.walk.backward.items():
        reason = (
            f"{', '.join(columns)} may be NULL, and the campaign's own tables refer to it: it stands beside campaigns"
        )
        rows = 0 if oid in people else facts.beside.get(oid, 0)
        if rows:
            reason += f"; {names.counted(rows, 'row')} of it refer to the template"
        results.append(TableOut(facts.names[oid], -1, -1, reason, look=bool(rows)))
    for table in facts.catalog.tables.values():
        pairs = ", ".join(f"{kind} and {key}" for kind, key in names.pairs(table))
        if not pairs or table.oid in facts.walk.reached or table.oid in facts.walk.backward:
            continue
        why = "no row of it names a table that is part of one"
        if table.oid in facts.unreadable:
            why = "the role in the URL may not read it"
        reason = f"it may belong to campaigns by {pairs}, but {why}"
        results.append(TableOut(facts.names[table.oid], -1, -1, reason, look=True))
    return results


def _claim(root: TableFacts, owner: str | None) -> list[Setting]:
    result = [Setting(owner, "$claimant", "it belongs to the user who claims it")] if owner else []
    result += [
        Setting(name, "true", "into sight")
        for name in root.column
        if names.snake(name) in names.VISIBLE and root.column[name].base == "boolean"
    ]
    result += [
        Setting(column.name, "now()", "the application's own way to say that a row changed")
        for column in root.columns
        if names.snake(column.name) in names.CHANGED and column.base in names.TIMES
    ]
    return result


def _claim_rows(facts: Facts, people: Set[int]) -> list[ClaimRow]:
    results = []
    for oid, table in facts.walk.reached.items():
        own = table.facts
        if not choose.is_membership(facts, own, people):
            continue
        values = {
            choose.column_to(own, people) or "": "$claimant",
            choose.column_to(own, {facts.root}) or "": "$campaign",
        }
        usual = facts.usual.get(oid, {})
        notes = []
        for column in own.columns:
            needed = column.not_null and not column.has_default and not column.generated and column.name not in values
            if needed and column.base in names.TIMES:
                values[column.name] = "now()"
            elif needed and column.base == "uuid" and column.name in own.primary_key:
                values[column.name] = "gen_random_uuid()"
            elif needed and column.name in usual:
                values[column.name] = literal(usual[column.name])
                notes.append(Note(f"{column.name} has no default: most rows have this value", look=True))
            elif needed and column.text_key and column.name in own.primary_key:
                values[column.name] = "gen_random_uuid()"
            elif needed:
                notes.append(Note(f"{column.name} is required and has no default: give it a value", look=True))
        results.append(ClaimRow(facts.names[oid], values, tuple(notes)))
    return results


def _claim_notes(facts: Facts, root: TableFacts, owner: str | None, *, rows: bool) -> list[Note]:
    if owner is None and rows:
        return []
    if owner is None:
        return [Note("no column of the root says whose a campaign is: set here what a claim changes", look=True)]
    others = [
        key.columns[0]
        for key in root.foreign_keys
        if key.target not in facts.walk.reached and key.columns[0] != owner and len(key.columns) == 1
    ]
    return [Note(f"{', '.join(others)} may have to be set as well", look=True)] if others else []
