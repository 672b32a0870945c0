"""Test actors with plain pytest: no host, no network, no component.

    from holdfast.testing import LocalHost

    def test_a_deposit_is_stored():
        host = LocalHost({"ACCOUNT": Account})
        alice = host.env.ACCOUNT.id_from_name("alice")

        assert alice.deposit(5) == {"balance": 5}
        assert host.instance(Account, "alice").storage["balance"] == 5

The suite that a real host passes runs over this one too. Stubs raise what they raise inside an actor: a call that fails
is a `holdfast.ActorCallError` with `name`, `message`, `code` and `status`. With pytest, the fixture `host` is a
LocalHost of the project that the test belongs to.
"""

from holdfast._describe import RuleError
from holdfast.testing._answers import Answer
from holdfast.testing._clock import ManualClock
from holdfast.testing._host import LocalHost
from holdfast.testing._instance import AlarmState, Instance, StoredValues
from holdfast.testing._jobs.rows import JobState
from holdfast.testing._limits import Limits
from holdfast.testing._outbound import Outbound, UnansweredRequestError
from holdfast.testing._records import LogLine
from holdfast.testing._sockets.clients import Closing, Event, EventsClient, NotAcceptedError, SocketClient

__all__ = [
    "AlarmState",
    "Answer",
    "Closing",
    "Event",
    "EventsClient",
    "Instance",
    "JobState",
    "Limits",
    "LocalHost",
    "LogLine",
    "ManualClock",
    "NotAcceptedError",
    "Outbound",
    "RuleError",
    "SocketClient",
    "StoredValues",
    "UnansweredRequestError",
]
