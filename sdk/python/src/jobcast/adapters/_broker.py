"""URLs of the brokers of Celery."""

import re
from typing import Final

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+]*://\S*")
_ALL_OF_A_REDIS: Final = re.compile(r"rediss?\+(sentinel|cluster)://")
"""Addresses that Jobcast follows and Celery would read as those of other servers."""


def check_broker(url: str) -> None:
    """Raise a ValueError, without a piece of the URL's password, if Celery can't use a broker.

    Nothing connects; what its transport needs is imported. Celery must be installed. A URL may name
    several brokers, separated by semicolons.
    """
    from kombu.connection import Connection  # noqa: PLC0415 - an extra's

    for each in url.split(";"):
        if not _URL.fullmatch(each):
            raise ValueError("no URL of a broker of Celery")
        if _ALL_OF_A_REDIS.match(each):
            raise ValueError("Celery does not follow it (Sentinels of Celery: sentinel://…)")
        scheme = each.partition("://")[0]
        try:
            connection = Connection(each)  # type: ignore[no-untyped-call]  # kombu's
            connection.transport  # noqa: B018 - imports what it needs
        except KeyError:
            raise ValueError(f"Celery has no such broker: {scheme}://") from None
        except ValueError:
            raise ValueError("no URL of a broker: its port is no number up to 65535") from None
        except (ImportError, NameError) as error:  # what a transport does without its library
            raise ValueError(f"Celery lacks what {scheme}:// needs: {error}") from error
