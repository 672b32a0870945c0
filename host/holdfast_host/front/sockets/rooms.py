"""What a front knows of the instances whose sockets it holds, while it holds any."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from holdfast_host.wire.pages.send_page import owner_mark

if TYPE_CHECKING:
    from holdfast_host.front.sockets.client import ClientSocket
    from holdfast_host.front.sockets.deliveries import Delivery
    from holdfast_host.front.sockets.event_flow import EventFlow


class Room:
    """One instance, as long as a socket of it is here, or is about to be. Belongs to the front's loop."""

    __slots__ = (
        "auto",
        "deliveries",
        "flow",
        "function",
        "is_ready",
        "mark",
        "name",
        "partition",
        "sockets",
        "type_id",
        "under_way",
        "waiting",
    )

    def __init__(self, flow: EventFlow, type_id: int, name: bytes, function: str, partition: int) -> None:
        self.flow = flow  # to its worker
        self.type_id = type_id
        self.name = name
        self.function = function  # whose instance it is
        self.partition = partition  # where it lies
        self.mark = owner_mark(type_id, name)
        self.sockets = 0  # here, or about to be
        self.auto: tuple[bytes, bytes] | None = None  # a text, and the answer that it gets without the instance
        self.under_way = 0  # events
        # None where nothing waits, as is usual: each of these takes more memory than all the rest.
        self.waiting: deque[ClientSocket] | None = None  # to give an event, in turn
        self.is_ready = False  # it is in its flow's turn
        self.deliveries: deque[Delivery] | None = None  # to its sockets, in their order
