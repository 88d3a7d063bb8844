"""The harness of the benches: turns, medians, the section of the README. No test asserts a time."""

from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from bench import report
from bench.harness import Case, Goal, Runs, Sample, alternate, order, percentile


def _runs(**seconds: list[float]) -> Runs:
    return Runs({name: [Sample(value, value * 2048) for value in values] for name, values in seconds.items()})


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8, 9])
def test_each_case_stands_equally_often_in_each_place_and_after_each_other(count: int) -> None:
    rounds = [order(count, number) for number in range(count * (1 + count % 2))]
    assert all(sorted(item) == list(range(count)) for item in rounds)
    for place in range(count):
        assert set(Counter(item[place] for item in rounds).values()) == {len(rounds) // count}
    after = Counter(pair for item in rounds for pair in pairwise(item))
    assert len(after) == count * (count - 1)
    assert len(set(after.values())) == 1


async def test_rounds_alternate_and_warmups_do_not_count() -> None:
    done: list[str] = []

    def step(what: str) -> Callable[[], Awaitable[None]]:
        async def note() -> None:
            done.append(what)

        return note

    cases = [Case(name, 4, step(f"before {name}"), step(name), step(f"after {name}")) for name in ("a", "b")]
    ticks = iter(range(0, 1000, 8))

    async def gauge() -> int:
        return next(ticks)

    results: list[str] = []
    runs = await alternate(cases, rounds=2, warmups=1, say=results.append, gauge=gauge, between=step("between"))

    turn = {name: [f"before {name}", name, f"after {name}"] for name in ("a", "b")}
    one, other = [*turn["a"], *turn["b"]], [*turn["b"], *turn["a"]]
    assert done == ["between", *one, "between", *other, "between", *one]
    assert results == ["warm-up 1 of 1", "round 1 of 2", "round 2 of 2"]
    assert {name: [sample.gauge for sample in samples] for name, samples in runs.samples.items()} == {
        "a": [2.0, 2.0],
        "b": [2.0, 2.0],
    }


def test_a_ratio_is_the_median_of_the_ratios_within_the_rounds() -> None:
    runs = _runs(ours=[2.0, 30.0, 6.0], limit=[1.0, 10.0, 4.0])
    assert runs.ratio("ours", "limit") == 2.0
    assert runs.milliseconds("ours") == 6000
    assert runs.kilobytes("ours") == 12
    assert runs.gauge_ratio("ours", "limit") == 1.5


def test_rounds_of_several_sessions_are_taken_together() -> None:
    both = _runs(a=[1.0], b=[2.0]).and_then(_runs(a=[3.0], b=[4.0]))
    assert [sample.seconds for sample in both.samples["a"]] == [1.0, 3.0]
    assert both.milliseconds("b") == 3000


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(200, 0, -1)]
    assert percentile(values, 0.5) == 100
    assert percentile(values, 0.99) == 198
    assert percentile([7.0], 0.99) == 7


def test_a_goal_says_whether_it_is_met() -> None:
    assert Goal("x", 2).met({"x": 2.0})
    assert not Goal("x", 2).met({"x": 2.01})
    assert Goal("x", 15, at_least=True).met({"x": 15})
    assert not Goal("x", 15, at_least=True).met({"x": 14.9})


def test_a_section_is_put_at_the_end_and_then_replaced_where_it_stands() -> None:
    text = report.with_section("# Benchmarks\n", "clone", "## Cloning\n\nold")
    text = report.with_section(text, "pool", "## The pool")
    again = report.with_section(text, "clone", "## Cloning\n\nnew \\1")
    assert again == (
        "# Benchmarks\n\n"
        "<!-- bench:clone -->\n## Cloning\n\nnew \\1\n<!-- end of bench:clone -->\n\n"
        "<!-- bench:pool -->\n## The pool\n<!-- end of bench:pool -->\n"
    )


def test_a_table_puts_numbers_to_the_right() -> None:
    assert report.table(("way", "ms", "ratio"), [("ours", 1234.5, 1.004), ("limit", 12.345, None)]) == (
        "| way | ms | ratio |\n| --- | ---: | ---: |\n| ours | 1,234 | 1.00 |\n"
        f"| limit | 12.3 | {report.format_cell(None)} |"
    )


def test_a_figure_keeps_four_digits() -> None:
    assert report.rounded(12345.678) == 12350
    assert report.rounded(1.00044) == 1.0
    assert report.rounded(1999998) == 1999998
