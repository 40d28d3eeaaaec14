"""The nginx that ``deploy/`` recommends, in front of several services."""

from collections.abc import Sequence

from tests.support.module_process import ROOT
from tests.support.nginx import Nginx
from tests.support.service import Service
from tests.support.valkey import HOST


class DeployedNginx(Nginx):
    """One process with the rules of ``deploy/nginx.conf``; addresses and folders are its own."""

    def __init__(self, services: Sequence[Service]) -> None:
        super().__init__(services[0].url)
        server = "server 127.0.0.1:8000 fail_timeout=1s;"
        servers = (server.replace("127.0.0.1:8000", f"{HOST}:{each.port}") for each in services)
        rules = (ROOT / "deploy" / "nginx.conf").read_text()
        for given, own in (
            (server, " ".join(servers)),
            ("listen 127.0.0.1:8080", f"listen {HOST}:{self.port}"),
            ("worker_processes auto;", f"daemon off; pid {self._folder}/nginx.pid;"),
            ("access_log /dev/stdout without_query;", "access_log off;"),
            ("worker_rlimit_nofile 131072;", ""),
            ("worker_connections 65536;", "worker_connections 1024;"),
        ):
            assert given in rules
            rules = rules.replace(given, own)
        self._file.write_text(rules)
