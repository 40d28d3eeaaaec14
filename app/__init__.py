"""The service: HTTP in, Server-Sent Events out."""

from app.factory import create_app
from app.settings import Settings

__all__ = ["Settings", "create_app"]
