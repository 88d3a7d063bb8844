"""URLs as people have them are understood; what is wrong is named, and nothing of a URL is ever repeated."""

from urllib.parse import quote

import asyncpg
import pytest
from asyncpg import connect_utils
from hypothesis import given
from hypothesis import strategies as st

from campaignpool.errors import SecretError
from campaignpool.urls import parse

SECRET = "s3cret"


def driver(url: str) -> tuple[list[object], object]:
    """Return addresses and parameters as the driver understands the parsed URL."""
    return connect_utils._parse_connect_dsn_and_args(  # type: ignore[no-any-return]
        dsn=parse(url).dsn,
        **dict.fromkeys(
            (
                *("host", "port", "user", "password", "passfile", "database", "ssl", "service", "servicefile"),
                *("direct_tls", "server_settings", "target_session_attrs", "krbsrvname", "gsslib"),
            )
        ),
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@db:5433/game",
        "postgres://me:s3cret@db:5433/game",
        "postgresql+asyncpg://me:s3cret@db:5433/game",
        "postgresql+psycopg2://me:s3cret@db:5433/game",
        "postgis://me:s3cret@db:5433/game",
        "pgsql://me:s3cret@db:5433/game",
        "jdbc:postgresql://db:5433/game?user=me&password=s3cret",
        "  postgresql://me:s3cret@db:5433/game\n",
        "\ufeffpostgresql://me:s3cret@db:5433/game\r\n",
        '"postgresql://me:s3cret@db:5433/game"',
        "postgresql://me:s3cret@db:5433/game?",
        "postgresql://me:s3cret@db:5433/game?schema=public&connection_limit=5&pool_timeout=10&pgbouncer=true",
        "postgresql://me:s3cret@db:5433/game?channel_binding=require&gssencmode=disable&keepalives_idle=30",
        "postgresql://me:s3cret@db:5433/game?pool=5&prepared_statements=false&encoding=utf8",
        "postgresql://me:s3cret@db:5433/game?conn_max_age=600&application_name=web&tcp_user_timeout=9",
        "postgresql://me:s3cret@/game?host=db&port=5433",
        "postgresql:///?host=db&port=5433&user=me&password=s3cret&dbname=game",
    ],
)
def test_the_same_database_in_many_spellings(url: str) -> None:
    addresses, parameters = driver(url)
    assert addresses == [("db", 5433)]
    assert (parameters.user, parameters.password, parameters.database) == ("me", "s3cret", "game")  # type: ignore[attr-defined]
    assert parameters.server_settings is None  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("hosts", "addresses"),
    [
        ("a:1,b:2", [("a", 1), ("b", 2)]),
        ("a,b", [("a", 5432), ("b", 5432)]),
        ("[::1]:6", [("::1", 6)]),
        ("%2Fcloudsql%2Fp%3Aeu%3Adb", ["/cloudsql/p:eu:db/.s.PGSQL.5432"]),
        ("", None),
    ],
)
def test_hosts(hosts: str, addresses: list[object] | None) -> None:
    found, _ = driver(f"postgresql://me@{hosts}/game")
    assert addresses is None or found == addresses


def test_a_socket_as_a_parameter() -> None:
    assert driver("postgresql://me@/game?host=/var/run/postgresql")[0] == ["/var/run/postgresql/.s.PGSQL.5432"]


@given(st.text(min_size=1).filter(str.isprintable), st.text(max_size=9))
def test_escaped_logins_arrive(user: str, password: str) -> None:
    if "\0" in password or any("\ud800" <= char <= "\udfff" for char in user + password):
        return
    _, parameters = driver(f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@db/game")
    assert parameters.user == user  # type: ignore[attr-defined]
    assert (parameters.password or "") == password  # type: ignore[attr-defined]


def test_what_libpq_knows_is_honoured() -> None:
    _, parameters = driver("postgresql://me@a,b/game?sslmode=require&target_session_attrs=read-write")
    assert parameters.sslmode.name == "require"  # type: ignore[attr-defined]
    assert parameters.target_session_attrs.value == "read-write"  # type: ignore[attr-defined]
    assert parse("postgresql://me@a/game?connect_timeout=12").connect_seconds == 12
    assert parse("postgresql://me@a/game?connect_timeout=0").connect_seconds == 5
    assert parse("postgresql://me@a/game?options=endpoint%3Dep-1").options == "endpoint=ep-1"
    assert parse("postgresql://me@a/game?sslrootcert=/ca.crt&sslmode=verify-full").files == (
        ("sslrootcert", "/ca.crt"),
    )


def test_the_roots_of_the_system_verify_the_host() -> None:
    target = parse("postgresql://me@a/game?sslrootcert=system")
    assert (target.system_roots, target.files) == (True, ())
    assert "verify-full" in target.dsn


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "it is not a URL of Postgres: write postgresql://"),
        ("game", "it is not a URL of Postgres"),
        ("host=db user=me", "it is not a URL of Postgres"),
        (f"mysql://me:{SECRET}@db/game", "it is not a URL of Postgres"),
        (f"prisma://accelerate/?api_key={SECRET}", "Prisma Accelerate"),
        (f"prisma+postgres://accelerate/?api_key={SECRET}", "Prisma Accelerate"),
        (f"postgresql://me:{SECRET}@db:port/game", "a port is not a number"),
        (f"postgresql://me:{SECRET}@db:0/game", "a port is not a number"),
        (f"postgresql://me:{SECRET}#1@db/game", "unescaped /, ? or #: write / as %2F, ? as %3F and # as %23"),
        (f"postgresql://me:{SECRET}/1@db/game", "unescaped /, ? or #"),
        (f"postgresql://me:{SECRET}?1@db/game", "unescaped /, ? or #"),
        (f"postgresql://me:{SECRET}%1@db/game", "the password has an unescaped %"),
        (f"postgresql://me:{SECRET}@db/game?sslmod=require", "the parameter sslmod is unknown"),
        (f"postgresql://me:{SECRET}@db/game?sslmode=on", "sslmode is not one of disable, allow"),
        (f"postgresql://me:{SECRET}@db/game?connect_timeout=soon", "connect_timeout is not a number"),
        ("postgresql://db/game", "it names no user"),
        (f"postgresql://me:{SECRET}@db/game\npostgresql://me@db/game", "line feed"),
    ],
)
def test_what_is_wrong_is_named_without_the_url(url: str, message: str) -> None:
    with pytest.raises(SecretError, match="the database URL is invalid: ") as refused:
        parse(url)
    assert message in refused.value.message
    assert refused.value.reason == "DatabaseUrlInvalid"
    assert SECRET not in str(refused.value)


@given(st.text(alphabet="ab:@/?#%,[]=& .s3", max_size=30))
def test_anything_is_parsed_or_refused(text: str) -> None:
    """Neither parser ends in an error of its own that is not about the URL."""
    try:
        driver(f"postgresql://{text}")
    except (SecretError, asyncpg.ClientConfigurationError):
        return


def test_a_url_has_no_representation() -> None:
    assert SECRET not in repr(parse(f"postgresql://me:{SECRET}@db/game"))
