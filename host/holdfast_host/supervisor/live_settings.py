"""What may change of a host's settings while it runs, and who is told.

SIGHUP reads them anew; what cannot change is named, and stays as it was. The files of certificate and key are looked
at every second, for whoever renews them tells nobody. A pair is taken once both have stood still from one look to the
next; one that does not serve is named in the log, and the old one stays.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from holdfast_host.core.errors import ConfigurationError
from holdfast_host.core.limits import RELOADED
from holdfast_host.core.logs import set_level
from holdfast_host.core.tls import CertificateError, server_context
from holdfast_host.supervisor.service_manager import ServiceManager
from holdfast_host.wire.control.edge import Certificate, Edge, NewEdge
from holdfast_host.wire.control.protocol import NewLimits, NewLogLevel

if TYPE_CHECKING:
    from holdfast_host.core.config import HostConfig
    from holdfast_host.core.logs import EventLog
    from holdfast_host.supervisor.processes.supervision import SupervisedProcess

LOOK_S: Final = 1.0
_OTHERS: Final = 0o007
_OF_TLS: Final = frozenset({"tls_cert", "tls_key"})  # other files, or the same ones; not whether TLS is spoken at all
TAKEN: Final = frozenset({"trusted_proxies", "cors_origins", "log_level"}) | _OF_TLS
_LIMIT: Final = "limit "
_LIMITS: Final = frozenset(_LIMIT + each for each in RELOADED)

Reread = Callable[[], "HostConfig"]
_Signature = tuple[tuple[int, ...], ...]


class LiveSettings:
    """Of one host; for its loop. Made before anything is started, so that what is wrong ends the start."""

    def __init__(self, config: HostConfig, log: EventLog, reread: Reread | None = None) -> None:
        """`reread` says what the operator wants now; without it there is nothing to read anew."""
        self._config = config
        self._log = log
        self._reread = reread
        self._asked = asyncio.Event()
        self.manager = ServiceManager()
        self._tried = _signature(config)
        self.edge = Edge(config.trusted_proxies, config.cors_origins, _read_certificate(config))
        self._warn_of_readers()

    @property
    def log_level(self) -> str:
        """The level that holds now."""
        return self._config.log_level

    @property
    def can_reread(self) -> bool:
        """Whether there is anything to read anew: SIGHUP does not stop the host then."""
        return self._reread is not None

    @contextmanager
    def keeping_asks(self) -> Iterator[None]:
        """SIGHUP does not end a host that is still starting: `watch` sees to it as it begins. For the main thread."""
        if not self.can_reread:
            yield
            return
        before = signal.signal(signal.SIGHUP, lambda number, frame: self._asked.set())
        try:
            yield
        finally:
            signal.signal(signal.SIGHUP, before)

    async def watch(self, fronts: Sequence[SupervisedProcess], others: Sequence[SupervisedProcess] = ()) -> None:
        """Tell the fronts, and of log and limits also the other children, what changes, until cancelled."""
        if self._reread is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._asked.set)
        seen = self._tried
        while True:
            await self._wait_for_look()
            if self._asked.is_set() and self._reread is not None:
                self._asked.clear()
                self.manager.reloading()
                await self._reload(self._reread, fronts, others)
                self.manager.reloaded()
                seen = self._tried
            before, seen = seen, await asyncio.to_thread(_signature, self._config)
            if seen == before != self._tried:
                self._tried = seen
                await self._renew(fronts)

    async def _wait_for_look(self) -> None:
        """Return when the settings are to be read anew; where files are watched, also for a look at them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if self._config.tls_cert is None else LOOK_S):
                await self._asked.wait()

    async def _reload(
        self, reread: Reread, fronts: Sequence[SupervisedProcess], others: Sequence[SupervisedProcess]
    ) -> None:
        try:
            wanted = await asyncio.to_thread(reread)
            changed = [name for name in _names_of(wanted) if _value_of(wanted, name) != _value_of(self._config, name)]
            if (wanted.tls_cert is None) != (self._config.tls_cert is None):
                wanted = dataclasses.replace(wanted, tls_cert=self._config.tls_cert, tls_key=self._config.tls_key)
                taken = TAKEN - _OF_TLS
            else:
                taken = TAKEN
            self._tried = await asyncio.to_thread(_signature, wanted)
            certificate = await asyncio.to_thread(_read_certificate, wanted)
        except Exception as error:  # whatever is wrong with the file: the host goes on
            reason = getattr(error, "message", None) or str(error)
            self._log.error("the settings stay as they were", reason=reason)
            return
        self._config = dataclasses.replace(self._config, **{name: getattr(wanted, name) for name in taken})
        await self._tell(Edge(wanted.trusted_proxies, wanted.cors_origins, certificate), fronts)
        if "log_level" in changed:
            self._set_log_level(wanted.log_level, (*fronts, *others))
        if _LIMITS & {*changed}:
            self._config.limits.take(wanted.limits)
            _send(NewLimits(self._config.limits), (*fronts, *others))
        self._log.info("the settings are read anew", changed=[name for name in changed if name in taken | _LIMITS])
        for name in changed:
            if name not in taken | _LIMITS:
                self._log.warning("a changed setting holds only after a restart", setting=name)

    async def _renew(self, fronts: Sequence[SupervisedProcess]) -> None:
        try:
            certificate = await asyncio.to_thread(_read_certificate, self._config)
        except (ConfigurationError, OSError) as error:
            self._log.error("the TLS certificate stays as it was", reason=getattr(error, "message", None) or str(error))
            return
        if certificate != self.edge.certificate:
            await self._tell(replace(self.edge, certificate=certificate), fronts)
            self._log.info("the TLS certificate is renewed", path=str(self._config.tls_cert))

    async def _tell(self, edge: Edge, fronts: Sequence[SupervisedProcess]) -> None:
        """Have it hold from now on, for fronts that start as for those that run."""
        renewed, self.edge = edge.certificate != self.edge.certificate, edge
        if renewed:
            self._warn_of_readers()
        _send(NewEdge(edge), fronts)

    def _set_log_level(self, level: str, children: Sequence[SupervisedProcess]) -> None:
        self._log.set_level(level)
        set_level(level)
        _send(NewLogLevel(level), children)

    def _warn_of_readers(self) -> None:
        """A key that everybody reads is no key; but who may be everybody on a machine is its operator's to say."""
        path = self._config.tls_key or self._config.tls_cert
        mode = 0
        if path is not None:
            with suppress(OSError):  # it is being replaced, and was read before
                mode = path.stat().st_mode
        if mode & _OTHERS:
            self._log.warning("others can read the TLS key: chmod o= takes that from them", path=str(path))


def _send(news: NewEdge | NewLogLevel | NewLimits, processes: Sequence[SupervisedProcess]) -> None:
    for process in processes:
        if process.child is not None:
            process.child.send(news)


def _names_of(config: HostConfig) -> list[str]:
    """Of all settings, each limit by itself."""
    own = [each.name for each in dataclasses.fields(config) if each.name != "limits"]
    return [*own, *(_LIMIT + each.name for each in dataclasses.fields(config.limits))]


def _value_of(config: HostConfig, name: str) -> Any:
    limit = name.removeprefix(_LIMIT)
    return getattr(config, name) if limit == name else getattr(config.limits, limit)


def _read_certificate(config: HostConfig) -> Certificate | None:
    """The pair in the files, which serves; None where there are none.

    Raises:
        ConfigurationError: one cannot be read, or they do not serve.
    """
    cert, key = config.tls_cert, config.tls_key
    if cert is None:
        return None
    chain = _read("--tls-cert", cert)
    certificate = Certificate(chain, chain if key is None else _read("--tls-key", key))
    try:
        server_context(certificate.chain, certificate.key)
    except CertificateError as error:
        files = f"--tls-cert {cert}" if key is None else f"--tls-cert {cert} with --tls-key {key}"
        raise ConfigurationError(f"{files}: {error}") from None
    return certificate


def _read(flag: str, path: Path) -> str:
    try:
        return path.read_text("ascii")
    except OSError as error:
        raise ConfigurationError(f"cannot read {flag} {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{flag} {path} is no PEM: convert it with 'openssl x509' or 'openssl pkey'") from None


def _signature(config: HostConfig) -> _Signature:
    """What differs when one of the files is another, or other bytes."""
    return tuple(_facts(path) for path in (config.tls_cert, config.tls_key) if path is not None)


def _facts(path: Path) -> tuple[int, ...]:
    try:
        facts = os.stat(path)
    except OSError:
        return ()
    return facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size
