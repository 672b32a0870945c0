"""Every limit, with unit and reason. An error that enforces one quotes the value and the limit.

An operator may change them (`Limits.replace`), those in `RELOADED` while the host runs; a function may lower memory and
time within the operator's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30

SHARDS: Final = 256  # fixed by the on-disk format: partition p holds the shards s with s mod P = p
KEYS_MAX: Final = 32 * KIB  # of one get_many, whatever a turn may write: to read more at once holds up all other turns
KEYS_TEXT_BYTES_MAX: Final = 2 * MIB  # get_many's keys as JSON: parsing holds up every other turn of the worker
DUE_US_MAX: Final = 253_402_300_799_999_999  # of an alarm: the end of the year 9999, past which no datetime goes
RESERVED_KEY_PREFIX: Final = "__holdfast_"  # for hosts and SDKs, by the contract in wit/
SLOTS: Final = 4096  # calls that one client may have unanswered at one worker; the size of the state page

# What SIGHUP changes. Each is read where it is used and copied nowhere, so that what begins afterwards has the new one.
RELOADED: Final = frozenset(
    {
        "alarm_retries_max", "alarm_timeout_s", "calls_at_once_max", "client_deploys_waiting_max",
        "deploys_waiting_max", "detached_turns_max", "fetch_timeout_s", "function_held_bytes_max",
        "function_queue_max", "function_sandboxes_max", "function_sockets_max", "function_streams_max",
        "functions_held_bytes_max", "idle_eviction_s", "instance_bytes_max", "instance_jobs_max",
        "instance_sockets_max", "job_tries_max", "mailbox_turns_max", "method_timeout_s", "nested_turns_max",
        "outbound_function_requests_max", "outbound_held_bytes_max", "outbound_origin_requests_max",
        "outbound_requests_max", "outbound_timeout_s", "outbound_turns_max", "queue_timeout_s", "resend_timeout_s",
        "socket_retries_max", "socket_unsent_bytes_max", "socket_untaken_bytes_max", "socket_untaken_s",
        "stop_timeout_s", "stream_take_s", "stream_timeout_s", "streams_max", "tokens_max", "turn_jobs_max",
        "turn_sends_max", "turn_write_bytes_max", "turn_write_keys_max", "worker_turns_max",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits of one host, made once from the configuration, handed to every process; `take` alone changes them."""

    # Keys and values. LMDB's keys hold 511 bytes, ours adds 9.
    key_bytes_max: int = 480
    value_bytes_max: int = MIB
    name_bytes_max: int = 256

    # One turn: what a commit may carry and how often a guest may take the interpreter lock.
    turn_write_bytes_max: int = 16 * MIB
    turn_write_keys_max: int = 10_000
    turn_host_calls_max: int = 200_000
    turn_savepoints_max: int = 100  # open at once: each read looks through all of them
    turn_log_lines_max: int = 10_000
    log_line_bytes_max: int = 16 * KIB
    log_bytes_max: int = 64 * MIB  # kept on disk of what a worker's guests print

    # One listing: held in host and guest at once, read in one short transaction.
    page_bytes_max: int = 8 * MIB
    page_entries_max: int = 1_000
    page_read_s: float = 0.010  # a read transaction held longer makes the file grow for good

    # What passes the sandbox as one string.
    arguments_bytes_max: int = MIB
    result_bytes_max: int = MIB
    nesting_max: int = 100
    fetch_body_bytes_max: int = 10 * MIB  # a sandbox of 64 MiB has room to hand on 6 MiB and take as much as answer
    fetch_headers_bytes_max: int = 64 * KIB  # of a response; requests are bounded by the HTTP parser
    description_bytes_max: int = 4 * MIB

    # Time (wall clock, without the mailbox).
    method_timeout_s: float = 30.0  # of a method, an actor's fetch, an event of a socket
    fetch_timeout_s: float = 30.0  # of a function's fetch
    alarm_timeout_s: float = 900.0  # of an alarm, a job's run or `then`, a function's `scheduled`
    queue_timeout_s: float = 30.0  # in the mailbox; what has not begun by then does not run
    resend_timeout_s: float = 10.0  # for the successor of a worker that died
    stop_timeout_s: float = 35.0  # of a host that is to end, until what still runs is killed

    # Queues.
    mailbox_turns_max: int = 1_000
    worker_turns_max: int = 20_000
    detached_turns_max: int = 256
    nested_turns_max: int = 512  # detached turns past which nested calls are refused too: each holds a thread
    client_body_bytes_max: int = 64 * MIB
    client_unsent_bytes_max: int = 8 * MIB
    call_depth_max: int = 16
    calls_at_once_max: int = 64  # of one turn

    # Functions. A burst on one of them finds its own bounds before it takes what actors need: sandboxes and queue of a
    # worker, and the bodies that a front holds, which are a third larger on the way to a worker.
    function_sandboxes_max: int = 32
    function_queue_max: int = 512
    function_held_bytes_max: int = 24 * MIB  # of one function
    functions_held_bytes_max: int = 40 * MIB  # of all of them
    function_kept_bytes_max: int = MIB  # a sandbox that handled more is not used again: memory never shrinks

    # Responses of functions whose body comes in pieces: each holds a sandbox, which is out of its pool so long.
    streams_max: int = 256  # of one worker,
    function_streams_max: int = 64  # and of one function there
    stream_timeout_s: float = 3_600.0  # for a whole body; each piece has the time of a fetch
    stream_take_s: float = 10.0  # a client that takes nothing for so long is cut
    stream_stop_s: float = 5.0  # until those are cut that have not ended when the host stops
    stream_piece_bytes_max: int = MIB  # of one piece

    # Outbound HTTP. Bodies have the limit of fetch, each way and after inflating; headers too.
    outbound_timeout_s: float = 30.0  # of one request, unless it says less
    outbound_turns_max: int = 1_024  # of one worker that wait for an answer: each holds a thread
    outbound_requests_max: int = 1_000  # under way, of a host,
    outbound_function_requests_max: int = 100  # of one function,
    outbound_origin_requests_max: int = 100  # and to one host name and port
    outbound_held_bytes_max: int = 512 * MIB  # of bodies of all requests under way
    outbound_unread_s: float = 60.0  # an answer that streams to a topic, and whose next piece nobody asks for, is cut
    outbound_event_bytes_max: int = 256 * KIB  # of one event of such an answer

    # The sandbox. Instances, tables and elements are what componentize-py guests need, with room.
    memory_bytes_max: int = 64 * MIB
    table_elements_max: int = 20_000
    instances_max: int = 100
    tables_max: int = 10
    memories_max: int = 4
    component_bytes_max: int = 64 * MIB
    actor_types_max: int = 100
    methods_max: int = 500
    compile_cpu_s: int = 60
    compile_memory_bytes: int = 4 * GIB
    compile_timeout_s: float = 90.0
    deploys_waiting_max: int = 64  # for the compiler; each keeps its component on disk
    client_deploys_waiting_max: int = 16  # from one address: so many first deploys, and so many new versions

    # Life in memory. 0 for the budget: half the machine's memory over the workers.
    idle_eviction_s: float = 60.0
    worker_memory_bytes: int = 0

    # Idempotency keys: longer than any job is tried again.
    receipt_s: int = 86_400  # an answer is kept at least so long

    # Exports and imports: what they hold of a partition goes when nobody goes on with them for so long.
    transfer_idle_s: float = 60.0

    # Sockets and events.
    socket_message_bytes_max: int = MIB  # either way
    socket_tags_max: int = 10
    socket_tag_bytes_max: int = 256
    socket_attachment_bytes_max: int = 16 * KIB
    socket_auto_response_bytes_max: int = 2 * KIB  # text and answer each
    instance_sockets_max: int = 32_768
    turn_sends_max: int = 10_000  # auto responses that it sets among them
    turn_send_bytes_max: int = 16 * MIB  # a message once, and 4 bytes for each socket that it goes to
    front_ahead_bytes: int = MIB  # of messages, sent to a front and not taken: what calls may find before them
    front_unsent_bytes_max: int = 16 * MIB  # of one instance's messages that wait for a front,
    worker_unsent_bytes_max: int = 64 * MIB  # and of all those of a worker
    socket_retries_max: int = 3  # of a `socket_close` that fails

    # Sockets at a front, and what their clients may hold there.
    front_sockets_max: int = 100_000  # or what open files allow
    function_sockets_max: int = 50_000  # of one function's instances
    socket_handshake_s: float = 10.0  # from one half of it, the answer or the commit, to the other
    front_unread_bytes_max: int = 64 * MIB  # of messages that are not whole yet, or wait for their instances
    socket_untaken_bytes_max: int = MIB  # whose client does not take so much
    socket_untaken_s: float = 10.0  # for so long is cut,
    socket_unsent_bytes_max: int = 16 * MIB  # and who has so much at once,
    front_untaken_bytes_max: int = 256 * MIB  # and the slowest, where all of them have so much

    # Jobs.
    job_bytes_max: int = 256 * KIB  # of one, with what it is called with or sends
    turn_jobs_max: int = 1_000  # made in one turn
    instance_jobs_max: int = 10_000
    job_outcome_bytes_max: int = MIB  # of an answer's body that is kept for `then`
    job_tries_max: int = 12  # of a call or request: 1, 4, 16, 64, 256 s apart, then hourly

    # Tokens.
    tokens_max: int = 1_000

    # The audit log.
    audit_bytes_max: int = 64 * MIB  # kept on disk; the oldest go

    # The archive.
    archive_spool_bytes_max: int = 4 * GIB  # kept in the data directory of what a partition has committed and it lacks

    # Disk.
    instance_bytes_max: int = GIB
    instance_memory_bytes: int = 16 * MIB  # of an instance over PostgreSQL, which is held whole while it is in memory
    map_bytes: int = 64 * GIB
    disk_reserve_bytes: int = 256 * MIB  # free; with less, nothing may grow
    delete_rows_max: int = 1_000  # that a commit deletes for delete_all, 1 to 2 ms; later ones sweep the rest

    # Fairness inside a worker.
    promotion_after_s: float = 0.002
    round_s: float = 0.010
    round_batch_bytes: int = 16 * MIB
    slice_s: float = 0.010

    # Alarms.
    alarm_retries_max: int = 6

    @property
    def fetch_message_bytes_max(self) -> int:
        """A fetch's request or response as text: a body grows by a third in base64, and headers come with it."""
        return self.fetch_body_bytes_max * 3 // 2 + MIB

    def replace(self, **changes: Any) -> Limits:
        """The same limits with some changed."""
        return replace(self, **changes)

    def take(self, wanted: Limits) -> None:
        """Have those that are `RELOADED` be as there from now on, for all that hold this very object."""
        for name in RELOADED:
            object.__setattr__(self, name, getattr(wanted, name))
