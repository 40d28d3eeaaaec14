"""A Caddy in front of a service, with the rules that ``deploy/`` recommends."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import httpx

from tests.support.module_process import ROOT
from tests.support.service import Service
from tests.support.starting import Started, is_up
from tests.support.valkey import HOST, free_port

BINARY: Final = shutil.which("caddy")
_STARTUP_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 10.0


class Caddy(Started):
    """One process with ``deploy/Caddyfile``, on its own addresses and with its own folders.

    Args:
        service: the service to which it forwards requests.
        secure: whether to serve HTTPS and HTTP/2, with a certificate of its own authority. Caddy
            must not add that authority to those that the machine trusts.
    """

    def __init__(self, service: Service, *, secure: bool = False) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="jobcast-caddy-"))
        self._log = self._folder / "caddy.log"
        self._file = self._folder / "Caddyfile"
        self.port = free_port()
        self.url = f"https://localhost:{self.port}" if secure else f"http://{HOST}:{self.port}"
        rules = (ROOT / "deploy" / "Caddyfile").read_text()
        if secure:
            given = "admin off"
            assert given in rules
            own = f"{given}\n\tskip_install_trust\n\thttp_port {free_port()}"
            rules = rules.replace(given, own)
        self._file.write_text(rules)
        self._environment = {
            **os.environ,
            "HOME": str(self._folder),
            "XDG_CONFIG_HOME": str(self._folder),
            "XDG_DATA_HOME": str(self._folder),
            "JOBCAST_SITE": self.url if secure else f":{self.port}",
            "JOBCAST_BIND": HOST,
            "JOBCAST_UPSTREAM": f"{HOST}:{service.port}",
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Return its output so far."""
        return self._log.read_text()

    def start(self) -> None:
        """Start it, and wait until it responds; raise RuntimeError with its log if it does not."""
        assert BINARY is not None
        command = [BINARY, "run", "--adapter", "caddyfile", "--config", str(self._file)]
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        if not is_up(self._process, self._answers, _STARTUP_SECONDS):
            raise RuntimeError(f"Caddy did not start: {self.log}")

    def close(self) -> None:
        """Stop it, and remove its folder."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_STOP_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        """Return whether it responds: it listens before it has its certificate."""
        try:
            httpx.get(self.url, timeout=1, verify=False)  # noqa: S501 - its own certificate
        except httpx.HTTPError:
            return False
        return True
