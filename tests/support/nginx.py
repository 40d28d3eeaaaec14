"""An nginx in front of a service, configured only with the service's address."""

import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.support.starting import Started, is_up
from tests.support.valkey import HOST, free_port

BINARY: Final = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
_STARTUP_SECONDS: Final = 10.0
_CONFIGURATION: Final = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{port};
        location / {{
            proxy_pass {upstream};
            {directives}
        }}
    }}
}}
"""


class Nginx(Started):
    """One process with nginx's own defaults: HTTP/1.0 to the service, and buffering.

    Args:
        upstream: URL of the service.
        directives: further directives for its location.
    """

    def __init__(self, upstream: str, directives: str = "") -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="jobcast-nginx-"))
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self._file = self._folder / "nginx.conf"
        given = {"folder": self._folder, "host": HOST, "port": self.port, "upstream": upstream}
        self._file.write_text(_CONFIGURATION.format(directives=directives, **given))

    def start(self) -> None:
        """Start it, and wait until it listens; raise RuntimeError with its log if it does not."""
        assert BINARY is not None
        log = self._folder / "nginx.log"
        command = [BINARY, "-e", str(log), "-p", str(self._folder), "-c", str(self._file)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        if not is_up(self._process, self._listens, _STARTUP_SECONDS):
            raise RuntimeError(f"nginx did not start: {log.read_text()}")

    def close(self) -> None:
        """Stop it, and remove its folder."""
        self._process.terminate()
        self._process.wait(_STARTUP_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listens(self) -> bool:
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True
