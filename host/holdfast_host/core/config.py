"""The configuration of one host, checked once before anything is started.

Every flag of `holdfast serve` is also a variable of its name, `HOLDFAST_...`. What is wrong here is the operator's to
mend, so each refusal is one sentence with the offending value and what to do.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from holdfast_host.core.archive_settings import read_archive, read_keep
from holdfast_host.core.bucket_address import refuse_bucket
from holdfast_host.core.cors import CorsError, read_listed
from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.limits import SHARDS, Limits
from holdfast_host.core.log_levels import FORMATS, LEVELS
from holdfast_host.core.outbound import NONE, PLATFORM_ADDRESS, Pattern, PatternError
from holdfast_host.core.store_settings import DURABILITIES, HOST_TTL_S, check_cluster_key, check_store
from holdfast_host.core.tokens import id_of
from holdfast_host.core.traces import read_traces

_DOMAIN: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.(?!-)[a-z0-9-]{1,63})*", re.IGNORECASE)
TOKEN_FORM: Final = re.compile(r"[\x21-\x7e]+")
_FRONTS_MAX: Final = 64
OUTBOUND_DEFAULT: Final = ("https://*",)
STANDARD_OUTPUT: Final = "-"

# What the on-disk format or the engine bounds: an operator may lower these, never raise them.
_CEILINGS: Final = {
    "key_bytes_max": 480,
    "name_bytes_max": 256,
    "memory_bytes_max": 4 << 30,
    "fetch_body_bytes_max": 20 << 20,  # what fits into a frame between front and worker
    "calls_at_once_max": 64,  # what a text of calls.call-many holds
    "receipt_s": 1_000_000_000,
}
_WHOLE_MAX: Final = (1 << 63) - 1  # of any other, which messages between processes hold
_SECONDS_MAX: Final = 2_000_000  # 23 days: in milliseconds they fit into the 32 bits of frames and of polls
_MAY_BE_ZERO: Final = frozenset({"worker_memory_bytes", "disk_reserve_bytes", "alarm_retries_max"})
# What others count on: they may be raised, never lowered.
_FLOORS: Final = {
    "receipt_s": 28_800,  # who repeats a call for hours must still find what became of it
}


# Connections that wait to be accepted: a crowd that comes while a front is busy, or is being replaced.
HTTP_BACKLOG: Final = 4096


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the host listens; `host` is an address or a name as the operator wrote it, port 0 takes a free one."""

    host: str
    port: int
    flag: str = field(default="--listen", compare=False)  # which the operator gave it by, for refusals

    def __str__(self) -> str:
        """`127.0.0.1:8787`, `[::1]:8787`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class HostConfig:
    """Everything that `holdfast serve` was told; immutable, made by `HostConfig.make`."""

    listen: Listen
    data: Path
    workers: int
    fronts: int
    domain: str
    token: str | None
    limits: Limits
    log_level: str
    allowed_hosts: tuple[str, ...] = ()
    check_arguments: bool = False  # of functions whose manifest does not say
    root_listen: Listen | None = None  # a second address, all of which is one function's
    root_function: str = ""
    log_format: str = "text"
    trusted_proxies: tuple[str, ...] = ()  # networks
    known_heads: bool = True
    ui: bool = True
    outbound: tuple[str, ...] = OUTBOUND_DEFAULT  # patterns of core.outbound
    outbound_private: tuple[tuple[str, int | None], ...] = ()  # host or address, and the port where it is said
    cors_origins: tuple[str, ...] = ()  # whose pages may use the API; `*` alone: all
    tls_cert: Path | None = None  # PEM; without it, HTTP is spoken as it is
    tls_key: Path | None = None  # None where it stands in the certificate's file
    access_log: str = ""  # the path of its file, `-` for standard output; empty: there is none
    traces: str = ""  # the URL to which spans are sent; empty: nothing is traced
    archive: Path | str | None = None  # the folder that all that is committed is shipped to, or `s3://...`
    archive_keep_s: float = 0.0  # how far back it must reach; 0: to its beginning
    store: str = field(default="", repr=False)  # the address of PostgreSQL; empty: storage is in the data directory
    durability: str = DURABILITIES[0]
    host_ttl_s: int = HOST_TTL_S
    cluster_key: Path | None = None  # the file of the key that all hosts of a store have; None: in the data directory

    @classmethod
    def make(
        cls,
        *,
        listen: str | Listen = "127.0.0.1:8787",
        data: str | Path = ".holdfast",
        workers: int | None = None,
        fronts: int = 1,
        domain: str = "localhost",
        token: str | None = None,
        token_file: str | Path | None = None,
        limits: Iterable[str] = (),
        log_level: str = "info",
        log_format: str = "text",
        allowed_hosts: Iterable[str] = (),
        check_arguments: bool = False,
        trusted_proxies: Iterable[str] = (),
        known_heads: bool = True,
        ui: bool = True,
        outbound: Iterable[str] = OUTBOUND_DEFAULT,
        outbound_private: Iterable[str] = (),
        cors_origins: Iterable[str] = (),
        tls_cert: str | Path | None = None,
        tls_key: str | Path | None = None,
        access_log: str | Path | None = None,
        traces: str | None = None,
        environment: Mapping[str, str] | None = None,
        archive: str | Path | None = None,
        archive_keep: str | None = None,
        store: str | None = None,
        durability: str = DURABILITIES[0],
        host_ttl: int = HOST_TTL_S,
        cluster_key_file: str | Path | None = None,
    ) -> HostConfig:
        """Check what the operator said.

        Args:
            listen: `HOST:PORT`, an IPv6 address in brackets; or that as it was read from another flag.
            data: the data directory; made when it is not there.
            workers: None for one less than the cores, at least one.
            fronts: processes that share the HTTP port.
            domain: functions answer under `{function}.{domain}`.
            token: what callers must present; `token_file` names a file that holds it instead.
            token_file: its first line, without the line's end.
            limits: `NAME=VALUE`, with the names of `core.limits.Limits`.
            log_level: `debug`, `info`, `warning` or `error`.
            log_format: `text` or `json`.
            allowed_hosts: names under which callers may reach the host, beside the domain's and those of loopback.
            check_arguments: whether arguments that come as plain JSON are checked and converted by their annotations,
                for functions whose manifest does not say.
            trusted_proxies: addresses or networks of the proxies whose word counts about where a request comes from.
            known_heads: whether calls with heads that have passed once are served without being parsed again.
            ui: whether the inspector is served at /ui.
            outbound: patterns of what functions may ask outside, where their manifests list it; `none` for nothing.
            outbound_private: addresses, or hosts with a port, that requests may lead to though they are private.
            cors_origins: origins whose pages may use the host's own API, or `*` alone.
            tls_cert: a file with the certificate to serve HTTPS with, and with those between it and its authority.
            tls_key: the file of its key; None where that is in the same file.
            access_log: the file that gets a line for each request, `-` for standard output; None for none.
            traces: the collector to which spans are sent, as OTLP over HTTP; `off` for none, None for what the standard
                variables of OpenTelemetry say.
            environment: those variables; None for none.
            archive: the folder of the archive, which must not be in the data directory, or its address in a bucket;
                None for none.
            archive_keep: how far back it must reach, as `30d` or `12h`; None for all.
            store: the address of PostgreSQL, where that is to hold what instances store.
            durability: what PostgreSQL is to promise before anything is answered; see docs/postgresql.md.
            host_ttl: seconds after which a host of the store that shows no sign of life is taken over.
            cluster_key_file: the file of the key that all hosts of that store have.

        Raises:
            ConfigurationError: says what is wrong and how to mend it.
        """
        if workers is None:
            workers = max(1, len(os.sched_getaffinity(0)) - 1)
        if not 1 <= workers <= SHARDS:
            raise ConfigurationError(f"--workers is {workers}, it must be between 1 and {SHARDS}")
        if not 1 <= fronts <= _FRONTS_MAX:
            raise ConfigurationError(f"--fronts is {fronts}, it must be between 1 and {_FRONTS_MAX}")
        if not _DOMAIN.fullmatch(domain):
            raise ConfigurationError(f"--domain {domain!r} is no domain name; an example is 'actors.example.com'")
        if log_level not in LEVELS:
            raise ConfigurationError(f"--log-level {log_level!r} is none of {', '.join(LEVELS)}")
        if log_format not in FORMATS:
            raise ConfigurationError(f"--log-format {log_format!r} is none of {', '.join(FORMATS)}")
        names = tuple(name.lower() for name in allowed_hosts)
        for name in names:
            if not _DOMAIN.fullmatch(name):
                raise ConfigurationError(f"--allowed-host {name!r} is no host name; an example is 'actors.example.com'")
        check_store(store, durability, host_ttl, archive)
        check_cluster_key(store, cluster_key_file)
        if tls_key is not None and tls_cert is None:
            raise ConfigurationError(f"--tls-key {tls_key} is a key without a certificate: give --tls-cert too")
        where = parse_listen(listen) if isinstance(listen, str) else listen
        secret = _read_token(token, token_file)
        if secret is None and not is_loopback(where):
            raise ConfigurationError(
                f"refusing to listen on {where} without a token: set HOLDFAST_TOKEN or --token-file, "
                "or listen on 127.0.0.1"
            )
        return cls(
            where,
            _read_data(data),
            workers,
            fronts,
            domain.lower(),
            secret,
            parse_limits(limits),
            log_level,
            names,
            check_arguments=check_arguments,
            log_format=log_format,
            trusted_proxies=tuple(_read_network(each) for each in trusted_proxies),
            known_heads=known_heads,
            ui=ui,
            outbound=_read_outbound(outbound),
            outbound_private=tuple(_read_private(each) for each in outbound_private),
            cors_origins=_read_cors_origins(cors_origins),
            tls_cert=None if tls_cert is None else Path(tls_cert).absolute(),
            tls_key=None if tls_key is None else Path(tls_key).absolute(),
            access_log=_read_access_log(access_log),
            traces=read_traces(traces, environment or {}),
            archive=read_archive(archive, Path(data).absolute()),
            archive_keep_s=0.0 if archive_keep is None else read_keep(archive_keep, archive),
            store=store or "",
            durability=durability,
            host_ttl_s=host_ttl,
            cluster_key=Path(cluster_key_file).absolute() if cluster_key_file else None,
        )


def parse_listen(text: str, flag: str = "--listen") -> Listen:
    """`HOST:PORT` or `[IPV6]:PORT`, or ConfigurationError that names the flag."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ConfigurationError(f"{flag} {text!r}: write an IPv6 address in brackets, as in '[::1]:8787'")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigurationError(f"{flag} {text!r} is not HOST:PORT, as in '127.0.0.1:8787' (port 0 takes a free one)")
    return Listen(host, int(port), flag)


def _read_network(text: str) -> str:
    """A network as `10.0.0.0/8`, from that or an address; ConfigurationError for anything else."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ConfigurationError(
            f"--trusted-proxy {text!r} is no network ({error}): write an address or a CIDR, as in '10.0.0.0/8'"
        ) from None


def _read_cors_origins(texts: Iterable[str]) -> tuple[str, ...]:
    origins = list(texts)
    try:
        return read_listed(origins) if origins else ()
    except CorsError as error:
        raise ConfigurationError(f"--cors-origin: {error}") from None


def _read_access_log(path: str | Path | None) -> str:
    if path is None or str(path) == STANDARD_OUTPUT:
        return "" if path is None else STANDARD_OUTPUT
    found = Path(path).absolute()
    where = found if found.exists() else found.parent
    if found.is_dir() or not found.parent.is_dir() or not os.access(where, os.W_OK):
        raise ConfigurationError(
            f"--access-log {path}: name a file that this user may write, in a folder that is there"
        )
    return str(found)


def _read_outbound(texts: Iterable[str]) -> tuple[str, ...]:
    patterns = tuple(texts)
    if NONE in patterns:
        if len(patterns) > 1:
            raise ConfigurationError("--outbound none stands alone: leave it out, or the other patterns")
        return ()
    for text in patterns:
        try:
            Pattern.parse(text)
        except PatternError as error:
            raise ConfigurationError(f"--outbound: {error}") from None
    return patterns


def _read_private(text: str) -> tuple[str, int | None]:
    """An address, or a host or address with a port; never what is link-local or the platform's own."""
    host, port = text, None
    if text.startswith("[") or text.count(":") == 1:
        where = parse_listen(text, "--outbound-private")
        host, port = where.host.lower(), where.port
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is not None and address.version == 6 and address.ipv4_mapped is not None:
        address = address.ipv4_mapped  # as which it is judged
    if port == 0 or (address is None and (port is None or not _DOMAIN.fullmatch(host))):
        raise ConfigurationError(
            f"--outbound-private {text!r} is no address and no HOST:PORT, as in '10.0.0.5' or 'intranet.corp:8080'"
        )
    if address is not None and (address.is_link_local or str(address) == PLATFORM_ADDRESS):
        raise ConfigurationError(f"--outbound-private {text!r}: such an address is never asked, whoever allows it")
    return (host if address is None else str(address)), port


def is_loopback(listen: Listen) -> bool:
    """True when nobody outside this machine can connect to what listens there."""
    host = listen.host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigurationError(f"{listen.flag}: the host name {host!r} has no address ({error.strerror})") from error
    return all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found)


def _read_data(data: str | Path) -> Path:
    refuse_bucket(data, "--data")
    return Path(data).absolute()


def parse_limits(settings: Iterable[str]) -> Limits:
    """`Limits` with some changed, each written `NAME=VALUE`, or ConfigurationError."""
    defaults = Limits()
    kinds = {entry.name: type(getattr(defaults, entry.name)) for entry in fields(Limits)}
    changes: dict[str, int | float] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ConfigurationError(f"--limit {setting!r} is not NAME=VALUE, as in 'method_timeout_s=60'")
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, 1)
            hint = f"did you mean {near[0]!r}?" if near else "docs/limits.md lists them"
            raise ConfigurationError(f"--limit: there is no limit {name!r}; {hint}")
        changes[name] = _parse_limit(name, text, kinds[name])
    return defaults.replace(**changes)


def _parse_limit(name: str, text: str, kind: type) -> int | float:
    """One value, positive and within what format and engine allow."""
    try:
        value: int | float = int(text.replace("_", "")) if kind is int else float(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise ConfigurationError(f"--limit {name}={text!r}: the value must be {what}") from None
    least_ok = value >= 0 if name in _MAY_BE_ZERO else value > 0
    if not least_ok or value == float("inf"):
        raise ConfigurationError(f"--limit {name}={text}: the value must be above zero and finite")
    ceiling = _CEILINGS.get(name, _WHOLE_MAX if kind is int else _SECONDS_MAX)
    if value > ceiling:
        raise ConfigurationError(f"--limit {name}={text}: more than {ceiling} is not possible")
    floor = _FLOORS.get(name)
    if floor is not None and value < floor:
        raise ConfigurationError(f"--limit {name}={text}: less than {floor} is not possible")
    return value


def _read_token(token: str | None, token_file: str | Path | None) -> str | None:
    """The token from wherever it was given; None where the host has none."""
    if token_file is not None:
        try:
            text = Path(token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigurationError(f"cannot read the token file {token_file}: {reason}") from error
        source = f"the token file {token_file}"
    elif token:
        text, source = token, "HOLDFAST_TOKEN"
    else:
        return None
    if not TOKEN_FORM.fullmatch(text):
        raise ConfigurationError(f"{source} must hold one token of visible ASCII characters, without spaces")
    if (made := id_of(text)) is not None:  # whoever has it would be an administrator, and revoked it would go on
        raise ConfigurationError(
            f"{source} holds the token {made}, which a host has made: start this one with a text of your own, as its "
            "token may do everything and is never revoked"
        )
    return text
