"""The seeding Jobs of all pools together, and whose turn is next."""

from dataclasses import replace

from campaignpool.api.resource import MASTER
from campaignpool.ledger.pools import OwnerCounts
from campaignpool_operator.facts import Observed
from campaignpool_operator.jobs.managed import ManagedJob
from campaignpool_operator.plan.actions import CreateJob, ReleaseSeeders
from campaignpool_operator.plan.plan import Plan, plan
from campaignpool_operator.turns import Turns
from tests.support.pools import ago, job, ledger, observed, pool, run, spec


class Operator:
    """Pools that share their Jobs, and the loops that are asked for."""

    def __init__(self, most: int) -> None:
        self.requested: list[str] = []
        self.turns = Turns(most, self.requested.append)

    def loop(self, name: str, *jobs: ManagedJob, ready: int = 0, **changes: object) -> Plan:
        """Run the loop of a pool of five with these Jobs, and return its plan."""
        counts = ledger({MASTER: OwnerCounts(ready=ready)}, *(run(item.number, made_at=ago(5)) for item in jobs))
        seen: Observed = observed(pool=pool(name=name), ledger=counts, jobs=jobs, **changes)
        seen = self.turns.take(seen)
        todo = plan(seen)
        self.turns.settle(seen, todo)
        return todo


def created(todo: Plan) -> int:
    return sum(isinstance(action, CreateJob) for action in todo.actions)


def test_pools_take_turns_in_the_order_in_which_they_waited() -> None:
    operator = Operator(most=2)
    assert [created(operator.loop(name)) for name in ("a", "b", "c", "d")] == [1, 1, 0, 0]
    assert operator.requested == []
    operator.loop("a", ready=5)
    assert operator.requested == ["game/c"], "one is free, and c has waited for longer"
    assert created(operator.loop("d")) == 0
    assert created(operator.loop("c")) == 1
    operator.loop("b", ready=5)
    assert operator.requested[-1] == "game/d"
    assert created(operator.loop("d")) == 1


def test_a_pool_that_is_gone_gives_its_jobs_and_its_turn_back() -> None:
    operator = Operator(most=1)
    assert [created(operator.loop(name)) for name in ("a", "b", "c")] == [1, 0, 0]
    operator.turns.forget("game/b")
    operator.turns.forget("game/a")
    assert operator.requested[-1] == "game/c"
    assert created(operator.loop("c")) == 1


def test_a_job_that_lingers_ends_where_other_pools_wait_for_one() -> None:
    operator = Operator(most=1)
    lingers = spec(seeding={"lingerSeconds": 30})
    assert operator.loop("a", job(1), ready=5, spec=lingers).idle == 1
    assert operator.loop("b").waits
    assert operator.requested == ["game/a"]
    assert operator.loop("a", job(1), ready=5, spec=lingers).actions == (ReleaseSeeders(1),)
    assert operator.requested == ["game/a"], "it is ending"
    operator.loop("a", replace(job(1), state="Succeeded", finished_at=ago(0)), ready=5, spec=lingers)
    assert operator.requested == ["game/a", "game/b"]
    assert created(operator.loop("b")) == 1


def test_a_job_that_lingers_goes_on_where_its_own_pool_lacks_campaigns() -> None:
    operator = Operator(most=1)
    lingers = spec(seeding={"lingerSeconds": 30})
    operator.loop("a", job(1), ready=5, spec=lingers)
    operator.loop("b")
    assert not any(
        isinstance(item, ReleaseSeeders) for item in operator.loop("a", job(1), ready=4, spec=lingers).actions
    )
