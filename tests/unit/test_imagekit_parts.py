"""The parts of the stand-in for ImageKit: rates, faults, search queries, names, pictures, versions."""

from collections import Counter

import pytest

from campaignpool_local.imagekit import Faults, Rate
from campaignpool_local.imagekit.assets import folder_path, normalized_path, sanitized, within
from campaignpool_local.imagekit.errors import RefusedError
from campaignpool_local.imagekit.faults import Fate
from campaignpool_local.imagekit.files import MAX_VERSIONS, Files, Listing
from campaignpool_local.imagekit.jobs import Jobs
from campaignpool_local.imagekit.pictures import kind, picture
from campaignpool_local.imagekit.query import parse
from campaignpool_local.imagekit.rates import Account, Bucket, Limits
from tests.support.imagekits import Clock

NOON = 1_800_000_000.0
ASSET = {
    "id": "a1",
    "name": 'red "map".png',
    "path": "/maps/old",
    "type": "file",
    "format": "png",
    "tags": ("old", "red"),
    "private": False,
    "createdAt": NOON - 3 * 86400,
    "updatedAt": NOON,
    "height": 20,
    "width": None,
    "size": 1500,
}


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    clock = Clock()
    bucket = Bucket(Rate(5, 20), clock)
    assert [bucket.take() for _ in range(21)] == [True] * 20 + [False]
    assert bucket.wait == pytest.approx(0.2)
    taken = 0
    for _ in range(100):
        clock.seconds += 0.1
        taken += bucket.take()
    assert taken == 50
    clock.seconds += 3600
    assert sum(bucket.take() for _ in range(100)) == 20


def test_who_waits_as_told_is_let_in() -> None:
    clock = Clock()
    bucket = Bucket(Rate(3, 1), clock)
    for _ in range(200):
        assert bucket.take()
        assert not bucket.take()
        clock.seconds += int(bucket.rate.headers(bucket.wait)["X-RateLimit-Reset"]) / 1000


@pytest.mark.parametrize(
    ("rate", "limit", "interval"),
    [(Rate(5, 20), "5", "1000"), (Rate(0.5, 3), "1", "2000"), (Rate(40, 100), "40", "1000")],
)
def test_headers_name_the_limit_and_its_interval(rate: Rate, limit: str, interval: str) -> None:
    text = rate.headers(0.0101)
    assert text == {"X-RateLimit-Limit": limit, "X-RateLimit-Interval": interval, "X-RateLimit-Reset": "11"}


def test_uploads_and_what_has_no_limit_say_nothing_of_rates() -> None:
    account = Account(Limits(reads=None), Clock())
    assert account.take("upload") == (True, {})
    assert account.take("list") == (True, {})
    assert account.take("delete")[1]["X-RateLimit-Limit"] == "5"


def test_shares_are_met_and_repeat_themselves() -> None:
    faults = Faults(rate_429=0.1, rate_500=0.2, rate_lost=0.3, seed=7)
    fates = [Fate(faults, Clock()) for _ in range(2)]
    drawn = [[fate.draw("list") for _ in range(2000)] for fate in fates]
    assert drawn[0] == drawn[1]
    share = {fault: number / 2000 for fault, number in Counter(drawn[0]).items()}
    assert share == pytest.approx({"429": 0.1, "500": 0.2, "lost": 0.3, "": 0.4}, abs=0.03)
    other = Fate(Faults(rate_429=0.1, rate_500=0.2, rate_lost=0.3, seed=8), Clock())
    assert [other.draw("list") for _ in range(2000)] != drawn[0]


def test_faults_end_after_so_many_times() -> None:
    fate = Fate(Faults(rate_reset=1, times=2, kinds=frozenset({"delete"})), Clock())
    assert [fate.draw(kind) for kind in ("list", "delete", "delete", "delete")] == ["", "reset", "reset", ""]


@pytest.mark.parametrize("shares", [{"rate_429": 1.5}, {"rate_lost": -0.1}, {"rate_500": 0.6, "rate_reset": 0.6}])
def test_shares_that_cannot_be_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Faults(**shares)


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        (r'name = "red \"map\".png"', True),
        (r'name : "red \"m"', True),
        ('name : "map"', False),
        ('path = "/maps/old/"', True),
        ('path = "/maps"', False),
        ('path : "maps"', True),
        ('path : "/map"', False),
        ('path : "/"', True),
        ('id IN ["a1", "b2"]', True),
        ('id NOT IN ["a1"]', False),
        ('tags IN ["red"] AND tags NOT IN ["new"]', True),
        ("private = false", True),
        ("createdAt<2026-01-01", False),
        ('createdAt > "2d"', False),
        ('createdAt > "4d" AND createdAt < 1h', True),
        ('updatedAt >= "2027-01-15T08:00:00"', True),
        ('size > "1kb" AND size<=1500', True),
        ("width > 1", False),
        ('type = "folder" OR type = "file" AND height = 20', True),
        ('(type = "folder" OR type = "file") AND height = 21', False),
        ('format NOT = "png"', False),
    ],
)
def test_a_query_is_understood(query: str, holds: bool) -> None:
    test, typed = parse(query, NOON)
    assert test(ASSET) is holds
    assert typed is ("type" in query)


@pytest.mark.parametrize(
    "query",
    ["", "name", "name =", "name = red", 'name = "red', '(name = "red"', 'name = "a" "b"', "colour = 1", 'name > "a"',
     "createdAt > soon", 'size > "1 stone"', "private = perhaps", "id IN 7", 'name NOT : "a"', "tags = 1 ?"],
)  # fmt: skip
def test_a_query_that_is_none_is_refused(query: str) -> None:
    with pytest.raises(RefusedError) as refused:
        parse(query, NOON)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("name", "becomes"), [("a b.png", "a_b.png"), ("é-ß_字.٣", "é-ß_字.٣"), ("a/b", "a_b"), ("💥&", "__")]
)
def test_names_keep_letters_marks_and_numerals_of_any_language(name: str, becomes: str) -> None:
    assert sanitized(name) == becomes


def test_paths_are_the_same_with_and_without_slashes() -> None:
    assert {folder_path(path) for path in ("a/b c", "/a/b c", "//a//b c/")} == {"/a/b_c"}
    assert normalized_path("a b/") == "/a b"
    assert folder_path("") == folder_path("/") == "/"
    assert within("/a/b", "/a")
    assert not within("/ab", "/a")
    with pytest.raises(RefusedError):
        folder_path("/a/../b")


def test_pictures_are_what_they_say() -> None:
    assert picture(1) == picture(1) != picture(2)
    result = kind("any", picture(1, 12, 7))
    assert (result.mime, result.width, result.height, result.alpha, result.file_type) == (
        "image/png",
        12,
        7,
        False,
        "image",
    )
    assert kind("a.svg", b"<svg/>").file_type == "image"
    assert kind("a", b"").file_type == "non-image"


def test_a_file_has_a_hundred_versions_at_most() -> None:
    files = Files(Clock())
    files.put("/from", "a.txt", b"")
    for _ in range(MAX_VERSIONS):
        files.copy("/from/a.txt", "/to")
    with pytest.raises(RefusedError) as refused:
        files.copy("/from/a.txt", "/to")
    assert refused.value.body["reason"] == "VERSION_LIMIT_EXCEEDED"


def test_versions_are_copied_on_demand() -> None:
    files = Files(Clock())
    for _ in range(3):
        files.put("/from", "a.txt", b"")
    assert files.copy("/from/a.txt", "/one").versions == 1
    assert files.copy("/from/a.txt", "/all", versions=True).versions == 3


def test_a_job_leaves_out_what_is_deleted_meanwhile() -> None:
    clock = Clock()
    files = Files(clock)
    first, _ = files.add_images("/from", 2)
    jobs = Jobs(files, clock)
    job = jobs.copy_folder("/from", "/to", 10, versions=False)
    files.delete(first.id)
    clock.seconds += 10
    jobs.advance()
    assert jobs.status(job)["status"] == "Completed"
    assert [file.name for file in files.files_in("/to/from")] == ["image-0002.png"]


def test_a_list_of_everything_holds_folders_only_when_asked() -> None:
    files = Files(Clock())
    files.add_images("/a/b", 1)
    named = {kind: [asset["name"] for asset in files.list(Listing(type=kind))] for kind in ("file", "folder", "all")}
    assert named == {"file": ["image-0001.png"], "folder": ["a", "b"], "all": ["image-0001.png", "a", "b"]}
    assert [asset["name"] for asset in files.list(Listing(search='name : ""', type="all"))] == ["image-0001.png"]
    assert [asset["name"] for asset in files.list(Listing(search='type = "folder"'))] == ["a", "b"]
