"""What the benches read from pgbench's log."""

from bench.pgbench import WARMUPS, Burst, Script, parse, together


def _log(client: int, ends: list[int], took: int) -> str:
    return "".join(
        f"{client} {number} {took} 0 {end // 1_000_000} {end % 1_000_000}\n" for number, end in enumerate(ends)
    )


def test_what_counts_began_when_all_clients_were_warm_and_ended_before_one_was_done() -> None:
    quick = [1000 * number for number in range(1, 2 * WARMUPS + 1)]
    slow = [1500 * number for number in range(1, 2 * WARMUPS + 1)]
    log = _log(0, quick, 900) + _log(1, slow, 1400)
    # The slow one is warm at 18 ms, the quick one is done at 24 ms.
    assert parse(log, Script("", {})) == [0.9] * 6 + [1.4] * 4


def test_a_clients_other_transactions_do_not_count() -> None:
    script = Script("", {}, rest_every=5, rest_shift=2)
    assert [number for number in range(1, 11) if not script.counts(0, number)] == [5, 10]
    assert [number for number in range(1, 11) if not script.counts(1, number)] == [3, 8]
    ends = [1_999_000 + 1000 * item for item in range(1, WARMUPS + 11)]
    assert len(parse(_log(0, ends, 900), script)) == 8


def test_clients_that_wait_for_their_answers_do_as_many_a_second_as_the_mean_latency_allows() -> None:
    burst = together([Burst(8, [1.0, 3.0]), Burst(8, [2.0])])
    assert burst.per_second == 4000
    assert burst.at(0.5) == 2.0
