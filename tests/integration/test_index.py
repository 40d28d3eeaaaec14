import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventlog.connection import Client
from eventlog.index import OwnerIndex, job_id_of
from jobcast._wire import index_member
from schema.owner import Owner
from tests.keys import *  # noqa: F403
