"""The parts of the images Job that are rules: where copies go, how long to wait, what is said on the command line."""

import random
from datetime import timedelta

import httpx
import imagekitio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaignpool_seeder.exits import EX_CONFIG, EX_TEMPFAIL, exit_code
from campaignpool_seeder.images import __main__ as program
from campaignpool_seeder.images import arguments, store
from campaignpool_seeder.images import imagekit as adapter
from campaignpool_seeder.images.delays import BULK_LIST_SECONDS, LONGEST_SECONDS, POLL_SECONDS, full_jitter
from campaignpool_seeder.images.layout import lay_out, parts

NAMES = st.sampled_from(["a", "b", "2", "a b", "a_b", "Ä-1.png", "none", ".x"])
SOURCES = st.dictionaries(
    st.text("0123456789", min_size=1, max_size=4), st.lists(NAMES, min_size=1, max_size=5).map("/".join), max_size=12
)
normalize = adapter.ImageKit("private_x").normalize_folder


def same(folder: str) -> str:
    return folder


@given(SOURCES)
def test_no_two_copies_have_one_place_and_all_are_in_the_folder(sources: dict[str, str]) -> None:
    result = lay_out(sources, "/c/1", normalize)
    assert result.targets.keys() == sources.keys()
    assert len(set(result.targets.values())) == len(sources)
    assert all(target.startswith("/c/1/") for target in result.targets.values())
    assert all(result.targets[item].endswith(f"/{parts(source)[-1]}") for item, source in sources.items())


@given(SOURCES, st.randoms())
def test_the_order_of_the_files_makes_no_difference(sources: dict[str, str], chance: random.Random) -> None:
    pairs = list(sources.items())
    chance.shuffle(pairs)
    assert lay_out(dict(pairs), "/c/1", normalize) == lay_out(sources, "/c/1", normalize)


@given(SOURCES)
def test_what_is_regular_is_where_a_copy_of_the_common_folder_brings_it(sources: dict[str, str]) -> None:
    result = lay_out(sources, "/c/1", same)
    above, _, _ = result.common.rpartition("/")
    for original in result.regular:
        source = f"/{'/'.join(parts(sources[original]))}"
        assert source.startswith(f"{result.common.rstrip('/')}/")
        assert result.targets[original] == f"/c/1{source.removeprefix(above)}"
    assert {sources[item] for item in result.regular} == set(sources.values())


@pytest.mark.parametrize(
    ("sources", "common", "target"),
    [
        (["/t/a/1.png", "/t/b/2.png"], "/t", "/c/t/a/1.png"),
        (["/t/a/1.png", "/t/a/2.png"], "/t/a", "/c/a/1.png"),
        (["t/1.png", "/t//x/y/2"], "/t", "/c/t/1.png"),
        (["/1.png", "/t/2.png"], "/", "/c/1.png"),
        (["/ta/1.png", "/tb/2.png"], "/", "/c/ta/1.png"),
        (["/my pics/1.png"], "/my pics", "/c/my_pics/1.png"),
        (["/t/1.png", "/t/1.png"], "/t", "/c/t/1.png"),
    ],
)
def test_copies_stand_as_the_files_do(sources: list[str], common: str, target: str) -> None:
    result = lay_out({str(number): source for number, source in enumerate(sources)}, "/c", normalize)
    assert (result.common, result.targets["0"]) == (common, target)


def test_a_name_that_is_taken_gets_a_folder_that_is_free() -> None:
    sources = {"1": "/2/2/x", "2": "/2/x", "3": "/2/x", "4": "/2/x"}
    result = lay_out(sources, "/c", normalize)
    assert result.targets == {"1": "/c/2/2/x", "2": "/c/2/x", "3": "/c/3/2/x", "4": "/c/4/2/x"}
    assert result.regular == {"1", "2"}


@given(st.integers(0, 10_000), st.randoms(), st.floats(0.1, 60))
def test_a_pause_is_within_its_bounds(failures: int, chance: random.Random, first: float) -> None:
    assert 0 <= full_jitter(failures, chance, first) <= min(LONGEST_SECONDS, first * 2 ** min(failures, 30))


def test_pauses_spread_over_all_their_range() -> None:
    pauses = [full_jitter(20, random.Random(seed)) for seed in range(200)]
    assert min(pauses) < LONGEST_SECONDS * 0.05
    assert max(pauses) > LONGEST_SECONDS * 0.95


@given(st.integers(0, 10_000), st.integers(1, 1000))
def test_a_folder_of_a_thousand_files_costs_ten_calls_at_most(seconds: int, images: int) -> None:
    """However long the job takes that is waited for, and however often the result is looked at."""
    source = -(-min(2 * images + 1, 1001) // adapter.PAGE)
    waited, polls = 0.0, 0
    for pause in POLL_SECONDS:
        waited, polls = waited + pause, polls + 1
        if waited >= seconds:
            break
    assert source + 1 + polls + len(BULK_LIST_SECONDS) <= 10
    assert list(POLL_SECONDS) == sorted(POLL_SECONDS)


def answer(status: int, body: object = None, headers: dict[str, str] | None = None) -> imagekitio.APIStatusError:
    request = httpx.Request("POST", "https://api.imagekit.io/v1/files/copy")
    response = httpx.Response(status, headers=headers, request=request)
    return imagekitio.APIStatusError("said", response=response, body=body)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, store.StoreRefusedError, EX_CONFIG),
        (401, store.KeyRefusedError, EX_CONFIG),
        (403, store.KeyRefusedError, EX_CONFIG),
        (404, store.NotFoundError, EX_CONFIG),
        (408, store.StoreBusyError, EX_TEMPFAIL),
        (409, store.StoreRefusedError, EX_CONFIG),
        (423, store.StoreBusyError, EX_TEMPFAIL),
        (429, store.StoreLimitedError, EX_TEMPFAIL),
        (500, store.StoreUnavailableError, EX_TEMPFAIL),
        (502, store.StoreUnavailableError, EX_TEMPFAIL),
    ],
)
def test_an_answer_says_whether_trying_again_helps(status: int, kind: type[Exception], code: int) -> None:
    with pytest.raises(kind) as found, adapter._translated("doing it"):
        raise answer(status, {"message": "because\n of it"})
    assert type(found.value) is kind
    assert exit_code(found.value) == code  # type: ignore[arg-type]
    assert ("because of it" in str(found.value)) == (status < 500)


@pytest.mark.parametrize(
    ("header", "seconds"), [("1500", 1.5), ("0", 0), ("-5", 0), ("99999999999", 600), ("soon", 1), (None, 1)]
)
def test_the_time_to_wait_is_in_milliseconds(header: str | None, seconds: float) -> None:
    headers = {} if header is None else {"X-RateLimit-Reset": header}
    with pytest.raises(store.StoreLimitedError) as found, adapter._translated("doing it"):
        raise answer(429, headers=headers)
    assert found.value.retry_after == seconds


@pytest.mark.parametrize("error", [ValueError(), TypeError(), AttributeError(), httpx.ReadError("x")])
def test_an_answer_that_cannot_be_read_is_none(error: Exception) -> None:
    with pytest.raises(store.StoreUnavailableError), adapter._translated("doing it"):
        raise error


def test_an_account_is_named_without_its_key() -> None:
    names = {adapter.account_name(key) for key in ("private_a", "private_b")}
    assert len(names) == 2
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in names)


def test_a_query_is_quoted() -> None:
    assert adapter._quoted('a"b\\') == '"a\\"b\\\\"'


LEAST = ["--pool", "game/chiwar", "--strategy", "CopyEach", "--folder", "/campaigns"]


def test_a_job_has_the_defaults_of_the_resource() -> None:
    result = arguments.parse(LEAST, "postgresql://u:secret@h/d", "private_hidden\n")
    assert isinstance(result, arguments.ImagesArgs)
    assert (result.concurrency, result.requests_per_second, result.burst, result.max_attempts) == (4, 5, 20, 8)
    assert (result.deadline, result.lease, result.max_connections) == (timedelta(hours=2), timedelta(minutes=2), 4)
    assert (result.key, result.endpoint) == ("private_hidden", None)
    assert "hidden" not in repr(result)
    assert "secret" not in repr(result)


def test_orphans_is_another_command() -> None:
    result = arguments.parse(["orphans", "--folder", "/a", "--delete"], "", "")
    assert isinstance(result, arguments.OrphansArgs)
    assert (result.folder, result.delete) == ("/a", True)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("1h30m", timedelta(hours=1.5)),
        ("0s", timedelta()),
    ],
)
def test_a_duration_is_written_as_kubernetes_does(text: str, length: timedelta) -> None:
    assert arguments.duration(text) == length


@pytest.mark.parametrize(
    "words",
    [
        LEAST[2:],
        [*LEAST, "--strategy", "Share"],
        [*LEAST, "--deadline", "soon"],
        [*LEAST, "--deadline", ""],
        [*LEAST, "--lease", "0s"],
        [*LEAST, "--concurrency", "0"],
        [*LEAST, "--endpoint", "ftp://x"],
        [*LEAST, "--folder", "/"],
        [*LEAST, "--folder", "/a b"],
        ["orphans"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_said(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments.parse(words, "", "")
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_a_secret_without_a_key_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(arguments.KEY_VARIABLE, " ")
    assert program.main(LEAST) == EX_CONFIG
    assert "holds no private key" in capsys.readouterr().out
