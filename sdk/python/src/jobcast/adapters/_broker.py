"""Checks the URLs of Celery's brokers."""

import re
from typing import Final

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+]*://\S*")
_ALL_OF_A_REDIS: Final = re.compile(r"rediss?\+(sentinel|cluster)://")
"""Jobcast's URLs of Sentinels and Clusters, which Celery would read as URLs of other servers."""


def check_broker(url: str) -> None:
    """Check that Celery can use a broker URL, or each of several separated by semicolons.

    Imports the libraries of the transports, but opens no connection. Celery must be installed.
    Raises ValueError, whose message has no part of a password, if Celery can't use a URL.
    """
    from kombu.connection import Connection  # noqa: PLC0415 - Celery is an extra

    for each in url.split(";"):
        if not _URL.fullmatch(each):
            raise ValueError("no URL of a broker of Celery")
        if _ALL_OF_A_REDIS.match(each):
            raise ValueError("Celery does not follow it (Sentinels of Celery: sentinel://…)")
        scheme = each.partition("://")[0]
        try:
            connection = Connection(each)  # type: ignore[no-untyped-call]  # kombu's
            connection.transport  # noqa: B018 - imports its library
        except KeyError:
            raise ValueError(f"Celery has no such broker: {scheme}://") from None
        except ValueError:
            raise ValueError("no URL of a broker: its port is no number up to 65535") from None
        except (ImportError, NameError) as error:  # its library is not installed
            raise ValueError(f"Celery lacks what {scheme}:// needs: {error}") from error
