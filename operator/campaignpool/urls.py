"""Database URLs as people have them, from Rails, Django, Prisma, SQLAlchemy, JDBC, libpq and managed Postgres. Pure.

One parser for the operator, the Jobs, the command line and the client. What libpq knows is honoured where the driver
can; what poolers and ORMs add for themselves is left out; any other parameter is an error that names it. A URL never
appears in a message.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode

from campaignpool.errors import SecretError

_SCHEMES = frozenset({"postgres", "postgresql", "postgis", "pgsql", "psql"})
_HOSTS = frozenset({"host", "hostaddr", "port", "user", "password", "dbname"})
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
_HONOURED = frozenset(
    {
        *_FILES,
        "sslmode",
        "sslpassword",
        "sslnegotiation",
        "ssl_min_protocol_version",
        "ssl_max_protocol_version",
        "target_session_attrs",
        "service",
        "krbsrvname",
        "gsslib",
    }
)
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_LEFT_OUT_BY = {
    "libpq: the driver or campaignpool decides these": """
        application_name fallback_application_name channel_binding client_encoding gssdelegation gssencmode keepalives
        keepalives_count keepalives_idle keepalives_interval load_balance_hosts replication require_auth requirepeer
        requiressl sslcertmode sslcompression sslsni tcp_user_timeout""",
    "Prisma": """
        connection_limit max_connection_lifetime max_idle_connection_lifetime pgbouncer pool_timeout schema
        single_use_connections socket_timeout sslaccept sslidentity statement_cache_size""",
    "Rails": """
        adapter advisory_locks checkout_timeout encoding idle_timeout min_messages pool prepared_statements
        reaping_frequency schema_search_path statement_limit timeout variables""",
    "Django and SQLAlchemy": """
        async_fallback command_timeout conn_health_checks conn_max_age disable_server_side_cursors max_overflow
        pool_pre_ping pool_recycle pool_size prepared_statement_cache_size prepared_statement_name_func
        ssl_require""",
    "Laravel, Go and Node": """
        binary_parameters charset default_query_exec_mode max max_conns min_conns pool_max_conns pool_min_conns
        prefix statement_cache_capacity sticky uselibpqcompat""",
    "JDBC": """
        applicationname currentschema logintimeout preparethreshold rewritebatchedinserts sockettimeout
        tcpkeepalive""",
    "Supabase": "supa workaround",
}
_LEFT_OUT = frozenset(name for names in _LEFT_OUT_BY.values() for name in names.split())
_BOOLEANS = {"true": "require", "1": "require", "false": "disable", "0": "disable"}
_SESSIONS = {
    "primary": "primary",
    "master": "primary",
    "any": "any",
    "secondary": "standby",
    "preferSecondary": "any",
}

CONNECT_SECONDS = 5.0
"""Time to connect unless the URL has `connect_timeout`: then the database counts as unreachable, and is retried."""

LONGEST_CONNECT_SECONDS = 30.0


@dataclass(frozen=True)
class DatabaseUrl:
    """A parsed URL.

    Attributes:
        dsn: For the driver; kept out of every representation.
        files: Parameters that name a file, such as `sslrootcert`, with its path.
        system_roots: `sslrootcert=system`: the certificate is verified against the roots of this machine.
        options: Startup option of the server, such as Neon's `endpoint=…`.
        connect_seconds: Time to connect.
    """

    dsn: str = field(repr=False)
    files: tuple[tuple[str, str], ...] = ()
    system_roots: bool = False
    options: str | None = None
    connect_seconds: float = CONNECT_SECONDS


def parse(text: str) -> DatabaseUrl:
    """Return the parsed URL. Raises SecretError with reason DatabaseUrlInvalid."""
    text = text.strip("\ufeff \t\r\n\v\f\0").strip("\"'").removeprefix("jdbc:")
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.partition("+")[0].lower() not in _SCHEMES:
        if scheme.lower().startswith("prisma"):
            raise _invalid("it leads to Prisma Accelerate, not to Postgres", "use the URL of the database itself")
        raise _invalid("it is not a URL of Postgres", "write postgresql://user:password@host:5432/database")
    if any(char in text for char in "\r\n\0"):
        raise _invalid("it contains a line feed", "write one URL, on one line")
    authority, path, query = _split(rest)
    parameters = _parameters(query)
    login, _, hosts = authority.rpartition("@")
    user, _, password = login.partition(":")
    user, password = (
        parameters.pop("user", _unquoted(user, "user")),
        parameters.pop("password", _unquoted(password, "password")),
    )
    name = parameters.pop("dbname", _unquoted(path.lstrip("/"), "database"))
    if "hostaddr" in parameters or "host" in parameters:
        hosts = ",".join(
            _host(host) for host in (parameters.pop("hostaddr", "") or parameters.pop("host", "")).split(",")
        )
        parameters.pop("host", None)
    hosts = _with_ports(hosts, parameters.pop("port", ""))
    if not user and "service" not in parameters:
        raise _invalid("it names no user", "write postgresql://user:password@host:5432/database")
    system_roots = parameters.get("sslrootcert") == "system"
    if system_roots:
        parameters["sslmode"] = "verify-full"
        del parameters["sslrootcert"]
    options = parameters.pop("options", None)
    seconds = _seconds(parameters.pop("connect_timeout", ""))
    files = tuple((key, parameters[key]) for key in _FILES if parameters.get(key))
    login = ""
    if user:
        login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "") + "@"
    # The driver splits the hosts at commas and decodes them.
    dsn = f"postgresql://{login}{hosts}/{quote(name, safe='')}"
    dsn += f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
    return DatabaseUrl(dsn, files, system_roots, options, seconds)


def _split(rest: str) -> tuple[str, str, str]:
    """Return authority, path and query."""
    end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    authority, tail = rest[:end], rest[end:]
    if "@" not in authority and "@" in tail and "user=" not in tail:
        raise _invalid("the user or the password has an unescaped /, ? or #", "write / as %2F, ? as %3F and # as %23")
    path, _, query = tail.partition("?")
    if "#" in path or "#" in query:
        raise _invalid("it contains an unescaped #", "write # as %23")
    return authority, path, query


def _parameters(query: str) -> dict[str, str]:
    """Return the parameters that count, under libpq's names."""
    parameters: dict[str, str] = {}
    for key, text in parse_qsl(query, keep_blank_values=True):
        if key.lower() in _LEFT_OUT or not text:
            continue
        name, value = _as_libpq(key, text)
        if name == "sslmode" and value not in _SSL_MODES:
            raise _invalid(f"sslmode is not one of {', '.join(_SSL_MODES)}", "correct sslmode")
        if name not in _HONOURED | _HOSTS | {"options", "connect_timeout"}:
            raise _invalid(f"the parameter {_named(name)} is unknown", "correct it or leave it out")
        parameters[name] = value
    return parameters


def _as_libpq(key: str, value: str) -> tuple[str, str]:
    """Return a parameter of JDBC or Node as libpq has it."""
    match key.lower():
        case "ssl" | "tls":
            return "sslmode", _BOOLEANS.get(value.lower(), value)
        case "sslmode":
            return "sslmode", "require" if value == "no-verify" else value
        case "targetservertype":
            return "target_session_attrs", _SESSIONS.get(value, value)
        case "database":
            return "dbname", value
        case _:
            return key, value


def _named(name: str) -> str:
    """Return a parameter's name for a message; it may be a part of a password that was not escaped."""
    return name if re.fullmatch(r"[A-Za-z_]{1,40}", name) else "after the ?"


def _host(host: str) -> str:
    if host.startswith(("/", "@")):
        return quote(host, safe="")
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host


def _with_ports(hosts: str, ports: str) -> str:
    """Return the hosts, each with its port; a port is a number."""
    default = ports.split(",") if ports else []
    result = []
    for index, host in enumerate(hosts.split(",") if hosts else []):
        match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(?::(.*))?", host)
        if not match:
            raise _invalid("a host is malformed", "write host:port, and an IPv6 address as [address]:port")
        port = match[2] or (default[min(index, len(default) - 1)] if default else "5432")
        if not port.isdecimal() or not 0 < int(port) <= 65535:
            raise _invalid(
                "a port is not a number from 1 to 65535", "correct it, and escape a : or @ of the password"
            )
        result.append(f"{match[1] or 'localhost'}:{port}")
    return ",".join(result)


def _unquoted(text: str, what: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise _invalid(f"the {what} has an unescaped %", "write % as %25")
    return unquote(text)


def _seconds(text: str) -> float:
    if not text:
        return CONNECT_SECONDS
    if not re.fullmatch(r"-?\d{1,6}", text):
        raise _invalid("connect_timeout is not a number of seconds", "correct it")
    return min(max(float(text), 1.0), LONGEST_CONNECT_SECONDS) if float(text) > 0 else CONNECT_SECONDS


def _invalid(why: str, fix: str) -> SecretError:
    return SecretError(f"the database URL is invalid: {why}: {fix}", reason="DatabaseUrlInvalid")
