"""The certificate of STARTTLS (RFC 3207), read again when its files change: who renews it need not restart us."""

import ssl
from pathlib import Path

from emailgistics.common.logs import get_logger

log = get_logger(__name__)

Stamp = tuple[tuple[int, int, int], ...]


class Certificate:
    def __init__(self, cert: Path, key: Path | None = None) -> None:
        """PEM: the certificate with its chain, and its key, which may be in the same file. Raises OSError."""
        self._cert = cert
        self._key = key or cert
        self._stamp = self._look()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """Of the files as they are now; if they are no good, as they were when they were."""
        try:
            stamp = self._look()
        except OSError as error:
            self._not_loaded(error, ())
            return self._context
        if stamp != self._stamp:
            try:
                self._context = self._load()
            except OSError as error:
                self._not_loaded(error, stamp)
            else:
                self._stamp = stamp
                log.info("smtp.certificate_loaded")
        return self._context

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # a password would be asked for on the terminal; a key that has one is no good here
        context.load_cert_chain(self._cert, self._key, password="")
        return context

    def _look(self) -> Stamp:
        stats = [path.stat() for path in (self._cert, self._key)]
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in stats)

    def _not_loaded(self, error: OSError, stamp: Stamp) -> None:
        """Once for each state of the files: somebody connects every second."""
        if stamp != self._stamp:
            self._stamp = stamp
            log.error("smtp.certificate_not_loaded", error=type(error).__name__, reason=error.strerror or error.args[0])
