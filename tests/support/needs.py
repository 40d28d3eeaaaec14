"""Reasons to skip tests: missing programs, and the Debian packages that contain them."""

from typing import Final

CADDY: Final = "no caddy (apt-get install caddy)"
CHROMIUM: Final = "no chromium (apt-get install chromium)"
COMPILER: Final = "no C compiler (apt-get install gcc libc6-dev)"
CURL: Final = "no curl (apt-get install curl)"
FAKETIME: Final = "no libfaketime (apt-get install libfaketime)"
NGINX: Final = "no nginx (apt-get install nginx-light)"
NODE: Final = "no node and npm (apt-get install nodejs npm)"
SHA256SUM: Final = "no sha256sum (apt-get install coreutils)"
TLS_REDIS: Final = "no redis-server that speaks TLS (apt-get install redis-server)"
