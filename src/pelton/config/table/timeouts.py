"""How long things may take.

Rows of the table of settings; see `pelton.config.setting` for what each part means.
"""

from __future__ import annotations

from dataclasses import dataclass

from pelton.config.setting import SHORTEST_TIMEOUT, Group, Part, Unit, setting


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    head_seconds: float = setting(
        15.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--head-timeout",
        help="How long a client may take to send a request head, from its first byte (or from connecting).",
        reason="A head is one or two packets; 15 s allow for several retransmissions on a bad line.",
        minimum=SHORTEST_TIMEOUT,
    )  # fmt: skip
    body_idle_seconds: float = setting(
        30.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--body-timeout",
        help="How long a client may send too little (see --min-body-rate) in the middle of a request body.",
        reason="Mobile networks pause for seconds, not for half a minute.",
        minimum=SHORTEST_TIMEOUT,
    )  # fmt: skip
    body_rate: int = setting(
        500,
        Unit.BYTES, Group.TIMEOUTS, Part.FRONT, "--min-body-rate",
        help="Bytes per second that a request body has to bring at least, on average over --body-timeout.",
        reason="Slower than any network that people use; a byte now and then would hold it for ever.",
        zero="any byte will do",
    )  # fmt: skip
    body_seconds: float = setting(
        0.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--body-time",
        help="How long all of a request body may take.",
        reason="The rate bounds it already, by the size; large uploads over slow lines are no fault.",
        zero="no limit",
    )  # fmt: skip
    keep_alive_seconds: float = setting(
        75.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--keep-alive",
        help="How long an idle connection stays open for the next request.",
        reason="Longer than the usual 60 s of load balancers, so that they close first: otherwise a "
        "request can meet a connection that is just being closed here, and the user sees a 502.",
        minimum=SHORTEST_TIMEOUT,
        first=True,
        more="Set it above the idle timeout of whatever proxies to pelton.",
    )  # fmt: skip
    write_idle_seconds: float = setting(
        60.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--write-timeout",
        help="How long a client may accept too little (see --min-write-rate) of its response.",
        reason="A reader that is merely slow takes enough within a minute.",
        minimum=SHORTEST_TIMEOUT,
    )  # fmt: skip
    write_rate: int = setting(
        500,
        Unit.BYTES, Group.TIMEOUTS, Part.FRONT, "--min-write-rate",
        help="Bytes per second of a response that a client has to accept, on average over --write-timeout.",
        reason="As for bodies.",
        zero="any byte will do",
    )  # fmt: skip
    request_timeout: float = setting(
        0.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--request-timeout",
        help="How long the application may run before its response begins; then 504, a report of where its "
        "thread is, and pelton.RequestTimeout there.",
        reason="What is too long, only the application knows: a report may take minutes.",
        zero="as long as it likes",
        first=True,
        more="It ends with the first byte of the response: what takes long after that is the pace "
        "of the client.",
    )  # fmt: skip
    request_timeout_grace: float = setting(
        5.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--request-timeout-grace",
        help="How long a thread may take to react to that, before its worker process is replaced.",
        reason="Time for a transaction to be rolled back; who needs more hangs in a library that nothing "
        "interrupts.",
        minimum=SHORTEST_TIMEOUT,
    )  # fmt: skip
    start_timeout: float = setting(
        0.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.SUPERVISOR, "--start-timeout",
        help="How long a worker (with --preload, the process that they are forked from) may load the "
        "application before it is killed, which counts as a start that failed.",
        reason="An application may fetch a model while it is imported, which takes as long as it takes. "
        "Whatever the limit, the log says after 10 s where one is that loads, and again from time to time.",
        zero="as long as it likes",
        more="In a reload the old workers stay. Without worker processes there is only the log.",
        reloadable=True,
    )  # fmt: skip
    worker_timeout: float = setting(
        30.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.FRONT, "--worker-timeout",
        help="How long a worker with running requests may give no sign of life, with none of its threads "
        "getting the interpreter, or its greenlets' hub not running, before it is killed.",
        reason="Threads get the interpreter every few milliseconds; only a library that keeps it to itself, "
        "or a machine that swaps, takes seconds. A hub that one greenlet keeps for so long serves nobody.",
        zero="as long as it likes",
        first=True,
    )  # fmt: skip
    hub_block_seconds: float = setting(
        1.0,
        Unit.SECONDS, Group.TIMEOUTS, Part.WORKER, "--hub-block-timeout",
        help="How long code may block the hub or the event loop of a worker that has one, before the log "
        "shows the stack of who does it.",
        reason="Everybody else in that worker waits meanwhile; what takes a second was not meant to run "
        "there.",
        zero="never",
    )  # fmt: skip
