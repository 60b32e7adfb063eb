"""Types of the native module: the front, the link, and the thread that runs requests.

Kept by hand and checked against the built module by ``tests/unit/test_engine_stub.py``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, final

from pelton.config.settings import Settings

__all__ = [
    "Certificate",
    "Front",
    "IncompleteBodyError",
    "Link",
    "Notice",
    "Overdue",
    "Rate",
    "SocketOffer",
    "TicketKeys",
    "Tls",
    "Worker",
    "__version__",
    "adopt_orphans",
    "body_memory",
    "die_with_parent",
    "link_memory",
    "make_certificate",
    "make_challenge_certificate",
    "read_certificates",
]

__version__: str

_Environ = dict[str, Any]
_Application = Callable[[_Environ, Callable[..., Any]], Iterable[bytes]]

class _Observer(Protocol):
    """Where the worker reports what an application did wrong; called on the request's thread."""

    def failed(self, environ: _Environ, error: BaseException) -> None: ...
    def misused(self, environ: _Environ, message: str) -> None: ...
    def called_itself(
        self, called: tuple[str, str], port: int, is_lent: bool, running: dict[int, tuple[str, str]]
    ) -> None: ...

class _ClientSockets(Protocol):
    """Who makes the sockets that applications see; called on the request's thread."""

    def offer(self, environ: _Environ, descriptor: int, offer: SocketOffer) -> Any | None:
        """Own ``descriptor``, put it into the environ; None: `refuse` is to answer instead."""
    def refuse(self, environ: _Environ, start_response: Callable[..., Any]) -> Iterable[bytes]: ...
    def end(self, made: Any) -> None:
        """The request of what `offer` gave is over."""

class IncompleteBodyError(ConnectionError):
    """The body of a request will never be complete; raised by ``wsgi.input`` where bodies are streamed.

    The client has closed its connection, or was too slow, or broke a rule; or it waits no more for an answer.
    The message says which.
    """

def link_memory(threads: int) -> int:
    """Make the memory between one front and one worker process of ``threads`` threads; gives its descriptor.

    The caller closes it. Its size is fixed for good.

    Raises OSError when there is no memory or descriptor left, ValueError when ``threads`` is 0.
    """

def body_memory() -> int:
    """Make the memory for request bodies of one front and all its workers; gives its descriptor.

    The caller closes it. Its size is fixed for good; once a front uses it, nobody else can write to it.
    """

def die_with_parent() -> None:
    """Have this process killed (SIGKILL) when the thread that forked it ends.

    It may have ended before the call: compare ``os.getppid()`` afterwards. Children of this process do not
    inherit it.
    """

def adopt_orphans() -> None:
    """Become the parent of those descendants whose own parent ends, as PID 1 is for everybody."""

def own_signal(number: int, is_own: bool) -> None:
    """Have a standard signal do in forked children what it does by default, from now on or no more."""

@final
class Link:
    """The memory between one front and one worker."""

    def __new__(cls, threads: int) -> Link:
        """A link within this process. Raises ValueError when ``threads`` is 0."""
    @staticmethod
    def joined(threads: int, memory: int, bodies: int, doorbell: int, socket: int) -> Link:
        """The end of a worker process, whose front is another process.

        ``memory``: from `link_memory` with as many threads, used by this front and this worker only.
        ``bodies``, ``doorbell`` (a non-blocking eventfd): those of the front. ``socket``: one end of a
        SOCK_SEQPACKET pair whose other end the front gets. All are duplicated.

        Raises OSError when a descriptor is unusable or the memory too small, ValueError when one is negative.
        """
    @property
    def slots(self) -> int:
        """Requests that can be between front and worker at once (ready, running or answering)."""
    def sever(self) -> None:
        """Say that the front has died: writers that wait for it return, and no further request is taken.

        The threads stay until `Worker.stop`; what still runs finds that nobody waits for its answer.
        """

@final
class Origin:
    """The process in which this object was made. Forks of C code are noticed, too."""

    def __new__(cls) -> Origin: ...
    def is_here(self) -> bool:
        """Whether that is this process, and not one that was forked from it since."""

@final
class KeptDescriptor:
    """A descriptor that leads nowhere in forked children, under the same number.

    As long as this object lives and is not closed. Raises OSError for what is no descriptor.
    """

    def __new__(cls, descriptor: int) -> KeptDescriptor: ...
    def close(self) -> None:
        """To be called before the descriptor is closed."""

@final
class Notice:
    """Something the front wants a person to know."""

    @property
    def level(self) -> Literal["debug", "info", "warning", "error"]: ...
    @property
    def message(self) -> str:
        """What happened; empty when there is nothing to log beside the event."""
    @property
    def event(self) -> Literal["added", "quiet", "spent", "stuck", "frozen", "waiting"] | None:
        """What happened to a worker, if that is it; or "waiting": there are ``local_calls`` to be looked at.

        quiet: it was retired and nothing of it runs. spent: it has had ``request_limit`` requests. stuck: a
        thread did not let go of an overdue request in time. frozen: its heart stopped while requests run.
        """
    @property
    def asked(self) -> tuple[int, str, str, str, str, str] | None:
        """A request on an admin listener, to which `Front.respond` is to respond.

        Its number, method, path, query, what its client accepts, and all that the front knows, as JSON.
        """
    @property
    def worker(self) -> int | None:
        """The number of that worker."""
    @property
    def local_calls(self) -> list[tuple[int, int | None, tuple[tuple[str, int], tuple[str, int]] | None]]:
        """Requests that wait although no worker has a free thread, and that were made on this machine.

        Of each: a number for `Front.called_itself`; for a unix socket the process that connected it; else
        the client's address and that of the connection's own end, as (host, port).
        """
    @property
    def processes(self) -> list[int]:
        """The pids of the workers, where there are ``local_calls``."""

@final
class TicketKeys:
    """The keys of session tickets; several `Tls` share one."""

    def __new__(cls) -> TicketKeys:
        """Without keys there are no tickets."""
    def replace(self, keys: Sequence[bytes]) -> None:
        """Use these (48 bytes each): the first for new tickets, all for old ones. Raises ValueError."""

@final
class Certificate:
    """What a certificate says."""

    @property
    def subject(self) -> str:
        """Whom it is for, as RFC 2253 writes it."""
    @property
    def issuer(self) -> str:
        """Who has signed it."""
    @property
    def serial(self) -> str:
        """Its number, in hexadecimal digits."""
    @property
    def not_before(self) -> int:
        """Seconds since 1970 from which on it is valid."""
    @property
    def not_after(self) -> int:
        """The last second of its validity."""
    @property
    def names(self) -> list[str]:
        """Names of hosts, with ``*.`` where they stand for several, and addresses."""
    @property
    def key(self) -> str:
        """The kind and the size of its key: ``RSA 2048``."""
    @property
    def is_authority(self) -> bool:
        """Whether it may sign others."""
    @property
    def is_self_issued(self) -> bool:
        """Whether it is signed by the name that it bears."""

@final
class Tls:
    """Certificates and rules of encryption, checked and ready to serve with."""

    def __new__(
        cls,
        pairs: Sequence[tuple[bytes, bytes, bytes | None, bytes | None]],
        tickets: TicketKeys,
        *,
        challenges: Sequence[tuple[bytes, bytes, bytes | None, bytes | None]] = (),
        ca_certs: bytes | None = None,
        cert_reqs: str = "none",
        versions: str = "1.2,1.3",
        ciphers: str = "",
        protocols: Sequence[str] = (),
    ) -> Tls:
        """``pairs``: PEM of certificates and key, the key's pass phrase, an OCSP response in DER.

        ``challenges``: such pairs for ACME servers. ``protocols``: for ALPN, the preferred one first.

        Raises ValueError: what is wrong, and for a pair also its place.
        """
    @property
    def chains(self) -> list[list[Certificate]]:
        """The certificates of each pair, the server's own first."""
    @property
    def ocsp(self) -> list[tuple[bool, int, bool] | None]:
        """Of each pair's OCSP response, if it has one: whether it is good, until when (seconds since 1970;
        2**63 - 1 where it does not say), and whether it is sent along: only if that time has not come when
        this is made.
        """
    @property
    def unknown_ciphers(self) -> list[str]:
        """Words of ``ciphers`` that mean nothing."""
    @property
    def cipher_suites(self) -> list[str]:
        """Those that are left, by OpenSSL's names."""

def read_certificates(pem: bytes) -> list[Certificate]:
    """What the certificates of a PEM file say. Raises ValueError."""

def make_certificate(names: Sequence[str], lifetime: int) -> tuple[str, str]:
    """A self-signed certificate for so many seconds, and its key, in PEM. Raises ValueError."""

def make_challenge_certificate(name: str, digest: bytes) -> tuple[str, str]:
    """What answers the challenge TLS-ALPN-01, and its key; ``digest``: of the key authorization."""

@final
class Front:
    """Owns listeners and connections; runs on its own native thread and never takes the GIL."""

    def __new__(
        cls,
        settings: Settings,
        listeners: Sequence[tuple[int, str, bool]],
        link: Link | None = None,
        *,
        bodies: int = -1,
        doorbell: int = -1,
        pulse: int = -1,
        tls: Tls | None = None,
        h2c: Sequence[int] = (),
    ) -> Front:
        """Duplicate the listening sockets (bound and listening).

        ``listeners``: of each its descriptor, its role (``application``, ``redirect`` to https or ``admin``,
        for health checks only) and whether it is encrypted, for which ``tls`` is needed.

        With ``link`` its worker, in this process, is the only one. Without, workers are added later, and
        ``bodies`` (from `body_memory`, never used by another front) and ``doorbell`` (a non-blocking eventfd)
        are needed; ``pulse``, another one, is for `answer`. At the listeners whose places are in ``h2c``
        clients may speak HTTP/2 at once.

        Raises OSError when a descriptor is unusable, ValueError when a setting is out of range or the link
        has a front already.
        """
    def start(self) -> None:
        """Start the front's thread; with a link it accepts at once. Raises RuntimeError when called twice."""
    def accept(self) -> None:
        """Accept connections from now on. Like the other orders: RuntimeError before `start`."""
    def add_worker(
        self, worker: int, pid: int, threads: int, memory: int, socket: int, request_limit: int
    ) -> None:
        """Hand requests to this worker process, too; the event "added" follows when it gets them.

        ``worker``: its number, never used twice. ``memory``, ``socket``: see `Link.joined`; duplicated.
        ``request_limit``: after so many requests there is the event "spent"; 0: never.

        Raises OSError when a descriptor is unusable or the memory too small.
        """
    def change_rules(self, settings: Settings) -> None:
        """Go on with these rules about requests and responses (`pelton.front.settings.RULES`).

        Raises ValueError for what they cannot be.
        """
    def mount(self, prefix: str, folder: bytes) -> None:
        """Send the files of a folder in response to requests below a path, which no folder has yet."""
    def retire_worker(self, worker: int) -> None:
        """Hand no more requests to it; the event "quiet" follows when nothing of it runs any more."""
    def worker_died(self, worker: int, how: str) -> None:
        """Its process has ended, as ``how`` says ("was killed by SIGKILL").

        What it was running is answered 502, what it had not started goes to another worker.
        """
    def called_itself(self, number: int, pid: int) -> None:
        """One of a notice's ``local_calls`` was made by this worker process, or by what it has started.

        The worker reports it and, with ``self_call`` "lend", gets a permit more for it. Requests that do not
        wait any more are left alone.
        """
    def answer(self) -> None:
        """Let the event loop count up the eventfd ``pulse``, as a sign that it runs."""
    def set_ready(self, ready: bool) -> None:
        """Whether readiness checks may succeed."""
    def respond(self, number: int, status: int, fields: list[tuple[str, str]], body: bytes) -> None:
        """Respond to the request of a notice's ``asked``; one that nobody waits for any more is left alone.

        Raises ValueError for what is no status.
        """
    def set_access_log(self, descriptor: int) -> None:
        """Write access lines to a duplicate of it from now on; -1: nowhere."""
    def encrypt(self, tls: Tls) -> None:
        """Encrypt new connections with it from now on; those that are open go on as they began."""
    def set_challenges(self, challenges: Mapping[str, str]) -> None:
        """What ACME servers find below /.well-known/acme-challenge/ from now on: texts by their names."""
    def drain(self) -> None:
        """Close the listeners and idle connections; requests already received are still answered."""
    def stop(self) -> None:
        """Close everything now, whatever is running."""
    def join(self, timeout: float | None = None) -> bool:
        """Wait, without the GIL, for the front's end; False when the time (seconds) ran out first."""
    def next_notice(self) -> Notice | None:
        """Wait, without the GIL, for the next notice; None when the front has ended and none is left."""
    def counters(self) -> dict[str, int]:
        """Everything that is counted, by name: connections, requests, answers by the front, close reasons."""

@final
class Worker:
    """Calls one WSGI application for the requests that arrive over one link."""

    def __new__(
        cls,
        link: Link,
        application: _Application,
        environs: Sequence[_Environ],
        file_wrapper: type,
        observer: _Observer,
        client_sockets: _ClientSockets | None = None,
    ) -> Worker:
        """``environs``: one template per listener, in the front's order, of what every request shares.

        Without ``client_sockets`` no application gets its client's socket.

        Raises ValueError when the link has a worker already.
        """
    def serve(
        self, thread: int, *, once: bool = False, on_departure: Callable[[], object] | None = None
    ) -> None:
        """Run requests on this thread until `stop`; with ``once``, only one that was lent a permit.

        Such a request is reported to the observer first, and only that where it was not lent one. Without
        any, ``once`` returns at once.

        When the application takes the client's socket the request stays on this thread, but is none any more:
        ``on_departure`` is called then, on the thread that takes it, to start another thread which serves
        in this one's place, and this one returns when the application comes back. Where it raises, or is
        None, the thread goes on to serve.

        ``thread`` is its number, which no other serving thread has: 0 to threads - 1, and from there on for
        threads beyond those that were planned. Raises ValueError when there is no such number or it is used.
        """
    def observe(
        self, timeout: float, patience: float, foresight: float, tick: float, expected: int
    ) -> tuple[int, int, int, int, float, float, float]:
        """Wait until all threads have been at requests for ``foresight``, or one has waited for ``patience``.

        Returns after ``timeout`` seconds at the latest. ``tick``: how often is looked while nothing tells.
        ``expected``: so many threads there are or will be in a moment; those that are missing count as idle.

        Gives the number of serving threads, of idle ones, of those that were at requests at most since the
        last call, of requests that wait; how long the first of these has waited at least; how long the
        interpreter let us wait; and seconds of processor time that the threads have used altogether.
        """
    def tell_sized(self, threads: int, computing: int, reason: int) -> None:
        """Tell the front what was decided, for ``/sizing`` on an admin listener.

        ``computing``: thousandths of the time; ``reason``: which of `pelton.sizing.policy.Why`.
        """
    def tell_routes(self) -> None:
        """Tell the front of each request which route has answered it, for its metrics."""
    def requests(self) -> list[tuple[int, int | None, int, str, str, str, float]]:
        """The requests that run now.

        Of each: its thread's ident, the number of its greenlet there (None: it has the thread alone), its
        slot, method, path without query, client, and seconds since it began.
        """
    def dismiss(self, count: int) -> None:
        """Let so many serving threads return that have nothing to do, now or later; 0 takes that back."""
    def stop(self) -> None:
        """Let every serving thread return once it has finished its request."""
    def listen(self, pause: Callable[[int], object], resume: Callable[[int], object]) -> int:
        """Serve on greenlets of this thread; gives the descriptor that its event loop has to sleep on.

        Where a request has to wait for the front, ``pause(slot)`` is called on its greenlet: it parks that
        and returns when there may be news for the slot, or for no reason. ``resume(slot)`` says, from any
        thread, that there are some on this side. Neither may refer to the worker, which refers to them.

        Raises OSError when there is no descriptor left, ValueError at the second call.
        """
    def serve_greenlet(
        self, seat: int, rest: Callable[[bool], bool], on_departure: Callable[[], object]
    ) -> None:
        """Run requests on the calling greenlet, one after the other, until ``rest`` returns False.

        ``seat`` is its number. ``rest(asleep)`` is called whenever others shall have their turn. ``asleep``:
        nothing is ready, and what comes makes the descriptor readable, as after `prepare_sleep`.
        ``on_departure`` is called when the application takes its client's socket: the request is none any
        more, so that another may run.
        """
    def sockets_held(self) -> int:
        """How many clients' sockets the application has taken and still has."""
    def prepare_sleep(self, takes_requests: bool) -> bool:
        """Announce that the event loop may go to sleep on the descriptor; False when there is work already.

        With ``takes_requests`` False, ready requests are no work: they wait for another call.

        True is to be followed by `answer_bell` when the descriptor is readable, and not by anything else.
        """
    def answer_bell(self) -> bool:
        """Make the descriptor unreadable; False when it never will be again, because the front has gone."""
    def take_roused(self) -> list[int]:
        """The slots with news for greenlets that are parked."""
    def claim(self, overdue: Overdue) -> int | None:
        """As `interrupt`, for a request on a greenlet: marks it and gives the greenlet's seat.

        On the thread of `listen`, and the exception is to be raised in the greenlet before any runs again.
        """
    def next_overdue(self, timeout: float, beats: bool = True) -> Overdue | None:
        """Wait, without the GIL, for a request that runs although nobody waits for its answer.

        Each is given once: those that the front has answered 504, and those whose client has gone while they
        are asked for further pieces of an answer without an end. None when ``timeout`` (seconds) is over, or
        after `stop`. Proves to the front that the interpreter runs, so call it again and again, from one
        thread, with no pause as long as ``worker_timeout``. Also returns None when there are spares to be
        taken.
        """
    def take_spares(self) -> int:
        """How many requests were lent a permit, or are to be reported, that were not reported before.

        Each of them needs a thread in `serve` with ``once``.
        """
    def interrupt(self, overdue: Overdue, exception: type[BaseException]) -> bool:
        """Raise ``exception`` at the next bytecode of the request's thread, once in a request.

        False when the application has nothing left to run for it (or, where its client has gone, only what
        may matter to others), or it was interrupted before. True does not promise that it arrives: the
        request may end first. It never hits another request, or pelton's code.
        """

@final
class SocketOffer:
    """The offer of a client's socket to the application that answers its request."""

    def take(self) -> None:
        """Make the socket the application's for good; what it answers from now on is thrown away.

        The front lets go of the connection. Raises ConnectionError when that is too late: the client has
        gone, the front or the application has answered, the request is over.
        """
    @staticmethod
    def is_closed(descriptor: int) -> bool:
        """Whether nothing more comes from the other end of a socket."""
    @staticmethod
    def shut_reading(descriptor: int) -> None:
        """Shut its receiving direction, whatever other threads do with it. Errors are passed over."""
    @staticmethod
    def shut_writing(descriptor: int) -> None:
        """The same with its sending direction."""
    @staticmethod
    def finish(descriptor: int, timeout: float) -> None:
        """Shut its sending direction, wait for the client to close, shut the other one.

        Waits, without the GIL, ``timeout`` seconds at most. The descriptor must not be closed meanwhile.
        Raises ValueError when ``timeout`` is not a number.
        """

@final
class Rate:
    """``environ["pelton.rate"]``: what is left to the request's client of its limit of rate."""

    @property
    def limit(self) -> int:
        """So much can be spent at once by a client that has spent nothing."""
    @property
    def remaining(self) -> int:
        """What is left at once: when the request came, or at the last `spend`."""
    @property
    def reset(self) -> int:
        """Seconds until all of it would be there again; as of then, too."""
    def spend(self, count: int = 1) -> bool:
        """Spend so much more. False, and nothing is spent, where it is more than what is left. 0 only looks.

        Asks the front, which counts for all workers. Raises RuntimeError when the request is over, or has
        asked some two thousand times before its response; BrokenPipeError when nobody waits for that any
        more; OverflowError for a count below 0.
        """

@final
class Overdue:
    """A request that still runs although nobody waits for its answer."""

    @property
    def client_gone(self) -> bool:
        """Whether its client has gone; if not, it took too long and was answered 504."""
    @property
    def thread(self) -> int:
        """The ident of its thread (`threading.get_ident`)."""
    @property
    def seat(self) -> int | None:
        """The seat of its greenlet; None where threads serve."""
    @property
    def method(self) -> str:
        """As the client sent it."""
    @property
    def path(self) -> str:
        """Percent-decoded, without the query; what is no UTF-8 is replaced. May hold any character."""
    @property
    def client(self) -> str:
        """The client's address; empty for a unix socket."""
    @property
    def age(self) -> float:
        """Seconds from the beginning of its call until it was given to the watch."""
    @property
    def number(self) -> int:
        """A number that no other request of this worker has."""
