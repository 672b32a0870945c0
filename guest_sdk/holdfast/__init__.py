"""Stateful actors for Holdfast: what an actor's author imports.

    from holdfast import StatefulActor

    class Counter(StatefulActor):
        def increment(self, by: int = 1) -> int:
            count = self.ctx.storage.get("count", 0) + by
            self.ctx.storage.put("count", count)
            return count

Every name exported here is public; modules that begin with an underscore are not.
"""

from holdfast._actor import Context, StatefulActor
from holdfast._calls import ActorNamespace, ActorStub
from holdfast._env import Env
from holdfast._errors import ActorCallError, ActorError, CodecError, HostError, LimitError
from holdfast._gather import StartedCall, gather
from holdfast._http import Headers, Request, Response
from holdfast._jobs.delivery import JobInfo, Outcome, ScheduledEvent
from holdfast._jobs.outbox import Job, Outbox
from holdfast._sockets import AcceptedResponse, Socket, SocketError
from holdfast._state.alarms import AlarmInfo
from holdfast._state.storage import Storage
from holdfast._state.transactions import Transaction

__all__ = [
    "AcceptedResponse",
    "ActorCallError",
    "ActorError",
    "ActorNamespace",
    "ActorStub",
    "AlarmInfo",
    "CodecError",
    "Context",
    "Env",
    "Headers",
    "HostError",
    "Job",
    "JobInfo",
    "LimitError",
    "Outbox",
    "Outcome",
    "Request",
    "Response",
    "ScheduledEvent",
    "Socket",
    "SocketError",
    "StartedCall",
    "StatefulActor",
    "Storage",
    "Transaction",
    "gather",
]
