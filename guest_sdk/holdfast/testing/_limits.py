"""The limits that a local host keeps: those of a real one that a test can meet, with the same names and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one turn, one key, one value may be; a test lowers them to meet them sooner.

    Example:
        host = LocalHost({"ACCOUNT": Account}, limits=Limits(method_timeout_s=0.5))
    """

    key_bytes_max: int = 480
    value_bytes_max: int = MIB
    turn_write_bytes_max: int = 16 * MIB
    turn_write_keys_max: int = 10_000
    turn_host_calls_max: int = 200_000
    turn_savepoints_max: int = 100
    turn_log_lines_max: int = 10_000
    log_line_bytes_max: int = 16 * KIB
    page_bytes_max: int = 8 * MIB
    page_entries_max: int = 1_000
    arguments_bytes_max: int = MIB
    result_bytes_max: int = MIB
    nesting_max: int = 100
    fetch_body_bytes_max: int = 10 * MIB
    method_timeout_s: float = 30.0
    fetch_timeout_s: float = 30.0
    alarm_timeout_s: float = 900.0
    call_depth_max: int = 16
    alarm_retries_max: int = 6
    socket_message_bytes_max: int = MIB
    socket_tags_max: int = 10
    socket_tag_bytes_max: int = 256
    socket_attachment_bytes_max: int = 16 * KIB
    socket_auto_response_bytes_max: int = 2 * KIB
    instance_sockets_max: int = 32_768
    turn_sends_max: int = 10_000
    turn_send_bytes_max: int = 16 * MIB
    job_bytes_max: int = 256 * KIB
    turn_jobs_max: int = 1_000
    instance_jobs_max: int = 10_000
    job_outcome_bytes_max: int = MIB
    job_tries_max: int = 12
    outbound_event_bytes_max: int = 256 * KIB
