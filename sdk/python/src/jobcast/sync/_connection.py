"""The blocking connection to Redis, by redis-py's client for a server, Sentinels or a Cluster."""

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import redis.connection
from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.client import NEVER_DECODE
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel

from jobcast._connection import PublishWarning
from jobcast._errors import JobcastError, refused
from jobcast.protocol.append import Answer, Append, with_script
from jobcast.protocol.names import (
    PLAIN,
    SHARDED,
    index_commands,
    log_key,
    reindex_commands,
    state_key,
)
from jobcast.redis.address import Address, parse_address
from jobcast.redis.connection import packed
from jobcast.redis.server import TIMEOUT_S

Client = Redis | RedisCluster

_AS_BYTES: Final[dict[str, Any]] = {NEVER_DECODE: True}


class Connection:
    """Runs the append script and other commands. Opened at first use; all threads share it.

    It retries only what was not sent. A call times out after ``try_s`` seconds, or after the
    timeout of the address if that is shorter. ``closings`` counts how often the connection was
    closed.
    """

    def __init__(self, url: str, *, try_s: float | None = None) -> None:
        self._address = parse_address(url)
        self._address.check()
        timeout_s = self._address.options.get("socket_timeout") or TIMEOUT_S
        self._timeout_s = timeout_s if try_s is None else min(timeout_s, try_s)
        self._pubsub = SHARDED if self._address.kind == "cluster" else PLAIN
        self._client: Client | None = None
        self._warning = PublishWarning()
        self.closings = 0

    def append(
        self,
        job_id: str,
        event: Append,
        attempt: int | None = None,
        run: str = "",
        seq: str = "",
    ) -> Answer:
        """Append an event to a job's log. Raises a `JobcastError` if the script refuses it.

        ``seq`` is the number of the append within its run, or the token of a creation. With it the
        call is idempotent.
        """
        keys = log_key(job_id), state_key(job_id)
        command = event.command(self._pubsub.publish, keys, attempt, run, seq)
        try:
            reply = self._run(command)
        except ResponseError as error:
            refusal = refused(str(error))
            if refusal is not None:
                raise refusal from None
            raise
        answer = Answer.from_reply(reply)
        self._warning.check(answer)
        return answer

    def repeatable(self, job_id: str, event: Append) -> Callable[[], Answer]:
        """Return a call that appends a cancel, a retry or an end without a number; idempotent.

        See `jobcast._connection.Connection.repeatable`.
        """
        is_unanswered = False

        def append() -> Answer:
            nonlocal is_unanswered
            try:
                return self.append(job_id, event)
            except RedisError:
                is_unanswered = True
                raise
            except JobcastError:
                answer = self._answer_in_state(job_id, event) if is_unanswered else None
                if answer is None:
                    raise
                return answer

        return append

    def index(
        self,
        job_id: str,
        created_id: str,
        owners: tuple[str | None, str | None],
        retention_s: int,
    ) -> None:
        """List a job in its owners' indexes, for longer than the job can live, and announce it."""
        found = index_commands(job_id, created_id, owners, retention_s, self._pubsub.publish)
        for command in found.values():
            self.call(*command)

    def reindex(self, job_id: str, retention_s: int) -> None:
        """List a job again after a retry, which announces the retry to its owner's streams."""
        reply = self.call("HMGET", state_key(job_id), "created", "userId", "sessionId")
        found = reindex_commands(reply, job_id, retention_s, self._pubsub.publish)
        for command in found.values():
            self.call(*command)

    def call(self, *command: str) -> Any:  # noqa: ANN401 - what Redis answers
        """Run an idempotent command and return the reply."""
        return self._execute(command)

    def forget(self) -> None:
        """Let a forked process open connections of its own, without closing those of the parent."""
        self._client = None

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        self.closings += 1
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _answer_in_state(self, job_id: str, event: Append) -> Answer | None:
        return event.answer_in(self.call("HMGET", state_key(job_id), *event.traces))

    def _run(self, command: list[str | bytes]) -> list[Any]:
        try:
            reply = self._execute(command)
        except NoScriptError:
            reply = self._execute(with_script(command))
        return cast("list[Any]", reply)

    def _execute(self, command: list[str | bytes] | tuple[str, ...]) -> Any:  # noqa: ANN401
        client = self._client
        try:
            if client is None:
                client = self._client = _opened(self._address, self._timeout_s)
            if isinstance(client, RedisCluster):
                return cast("Any", client).execute_command(*command, **_AS_BYTES)
            return _ask(client.connection_pool, command)
        except RedisClusterException as error:
            # Not a RedisError: no node can be reached, or none serves the key.
            raise RedisConnectionError(str(error)) from error
        except (KeyboardInterrupt, SystemExit):
            # Drop the client: the next command would read the reply of the interrupted one.
            self._client = None
            raise


def _ask(pool: ConnectionPool, command: Sequence[str | bytes]) -> Any:  # noqa: ANN401
    """Run a command on a server, by one of its connections.

    The same as redis-py's ``execute_command`` without its metrics and retries, which saves a fifth
    of a call's time.
    """
    connection: Any = pool.get_connection()
    try:
        connection.send_packed_command([packed(*command)])
        return connection.read_response(disable_decoding=True)
    finally:
        pool.release(connection)


def _opened(address: Address, timeout_s: float) -> Client:
    options = {
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        **address.options,
        "socket_timeout": timeout_s,
    }
    kind = options.pop("connection_class", None)
    is_tls = address.is_tls
    if kind is not None:
        # The address has the asyncio class; the blocking one has the same name.
        kind = getattr(redis.connection, kind.__name__)
    if address.kind == "cluster":
        nodes: list[Any] = [cast("Any", ClusterNode)(*node) for node in address.nodes]
        return RedisCluster(startup_nodes=nodes, ssl=is_tls, **options)
    if address.kind == "sentinel":
        sentinels = cast("Any", Sentinel)(
            list(address.nodes),
            sentinel_kwargs={"socket_timeout": timeout_s, **address.sentinel_options},
            ssl=is_tls,
            **options,
        )
        return cast("Redis", sentinels.master_for(address.name))
    if kind is not None:
        options["connection_class"] = kind
    return Redis.from_pool(ConnectionPool(**options))
