"""SQL of what a claim does in the application's tables, and what a release undoes of it: functions of a revision."""

from collections.abc import Iterator, Mapping

from campaignpool.blueprint.catalog import Column, TableFacts
from campaignpool.blueprint.compile.expressions import substitute, variables_of
from campaignpool.blueprint.compile.plan import ClonePlan
from campaignpool.blueprint.quote import ident, literal
from campaignpool.blueprint.sql.functions import Revision, written


def on_claim(revision: Revision) -> str:
    """Write `on_claim_r<id>(id uuid, root key text, claimant text, name text) → whether the campaign was there`."""
    body = []
    if not _takes_name(revision.plan):
        hint = literal("Let onClaim of the blueprint set a column to $name, or claim without a name.")
        body.append(
            "IF $4 IS NOT NULL THEN RAISE EXCEPTION 'the campaigns of this pool take no name' "
            f"USING ERRCODE = 'CP007', HINT = {hint}; END IF;"
        )
    root, inserts = _writes(revision.plan, revision.pool)
    body += [root, "IF NOT FOUND THEN RETURN false; END IF;", *inserts, "RETURN true;"]
    # `claim` keeps the planner from sequential scans in the ledger's tables; the application's are planned as ever.
    return written(
        revision, "on_claim", "uuid, text, text, text", "boolean", [], body, settings="enable_seqscan = on"
    )


def on_release(revision: Revision) -> str:
    """Write `on_release_r<id>(root key text, claimant text)`: delete what the claim inserted, and nothing else.

    Those rows are known by the campaign and the claimant in them; a rule that writes no campaign is not undone, for
    its rows could not be distinguished from others.
    """
    values = _values(revision.plan, key="$1", claimant="$2", name="NULL")
    body = []
    for table, given in inserted(revision.plan):
        result = {
            column: item
            for column, item in given.items()
            if (used := variables_of(item)) and used <= {"campaign", "claimant", "owner"}
        }
        if any("campaign" in variables_of(item) for item in result.values()):
            same = [_is(table.column[column], f"({substitute(item, values)})") for column, item in result.items()]
            body.append(f"DELETE FROM {table.name} AS t WHERE {' AND '.join(same)};")
    return written(revision, "on_release", "text, text", "void", [], body)


def inserted(plan: ClonePlan) -> Iterator[tuple[TableFacts, Mapping[str, str]]]:
    """Return the rows that a claim inserts: table, and expression of each column."""
    for row, facts in zip(plan.blueprint.on_claim.insert, plan.claim_tables, strict=True):
        yield facts, row.values


def _writes(plan: ClonePlan, pool: str) -> tuple[str, list[str]]:
    """Return the statement that finds the campaign's row and changes it, and those that insert rows."""
    root, rules = plan.root, plan.blueprint.on_claim
    generated = f"({literal(pool.rpartition('/')[2] + '-')} || left(replace($1::text, '-', ''), 16))"
    values = _values(plan, key="$2", claimant="$3", name=f"coalesce($4, {generated})")
    row = _is(root.facts.column[root.facts.primary_key[0]], "$2")
    if rules.set_:
        sets = [
            f"{ident(item)} = CAST(({substitute(expression, values)}) AS {root.facts.column[item].base})"
            for item, expression in rules.set_.items()
        ]
        result = f"UPDATE {root.facts.name} AS t SET {', '.join(sets)} WHERE {row};"
    else:
        result = f"PERFORM 1 FROM {root.facts.name} AS t WHERE {row} FOR NO KEY UPDATE;"
    inserts = []
    for table, given in inserted(plan):
        targets = ", ".join(ident(item) for item in given)
        cast = [f"CAST(({substitute(item, values)}) AS {table.column[to].base})" for to, item in given.items()]
        inserts.append(f"INSERT INTO {table.name} ({targets}) VALUES ({', '.join(cast)});")
    return result, inserts


def _is(column: Column, value: str) -> str:
    """Compare a column with a value: by Postgres' own operator where the type is its own.

    There is none for `character varying` or for domains, and a role that may create operators in a schema of the
    application could make one, which the rights of the claim's owner would run.
    """
    own = "." not in column.base
    return f"t.{ident(column.name)} {'OPERATOR(pg_catalog.=)' if own else '='} CAST({value} AS {column.type})"


def _values(plan: ClonePlan, *, key: str, claimant: str, name: str) -> dict[str, str]:
    """Return what the variables of `onClaim` stand for."""
    root = plan.root.facts
    campaign = f"CAST({key} AS {root.column[root.primary_key[0]].base})"
    return {"campaign": campaign, "name": name, "owner": claimant, "claimant": claimant}


def _takes_name(plan: ClonePlan) -> bool:
    return any("name" in variables_of(expression) for expression in expressions(plan))


def claimant_type(plan: ClonePlan) -> str | None:
    """Return the type of the column that a claim sets to `$claimant` unchanged; None where there is none."""
    pairs = [*((plan.root.facts, name, value) for name, value in plan.blueprint.on_claim.set_.items())]
    pairs += [(facts, name, value) for facts, row in inserted(plan) for name, value in row.items()]
    return next((facts.column[name].base for facts, name, value in pairs if value.strip() == "$claimant"), None)


def expressions(plan: ClonePlan) -> Iterator[str]:
    """Return what its author wrote of a claim."""
    rules = plan.blueprint.on_claim
    yield from rules.set_.values()
    for row in rules.insert:
        yield from row.values.values()
