"""Every error that leaves the host, by whose fault it is.

    HoldfastError
    +-- CallerError            the request is wrong: mend it, a retry cannot help
    |   +-- BadRequestError, BadArgumentsError, InvalidNameError                               400
    |   +-- UnauthorizedError                                                                  401
    |   +-- ForbiddenError, ActorPrivateMethodError                                            403
    |   +-- UnknownFunctionError, UnknownActorTypeError, ActorUnknownMethodError,
    |   |   UnknownBindingError, UnknownVersionError, UnknownKeyError, UnknownSecretError,
    |   |   UnknownRouteError, UnknownJobError, UnknownSocketError, UnknownTokenError,
    |   |   UnknownInstanceError, UnknownTenantError                                           404
    |   +-- WrongMethodError                                                                   405
    |   +-- TypeOwnedError, FunctionReferencedError, BreakingChangeError, DeployConflictError,
    |   |   InstanceExistsError, TenantInUseError                                              409
    |   +-- PayloadTooLargeError                                                               413
    |   +-- InvalidComponentError, InvalidManifestError, UnresolvedBindingError,
    |       OutboundNotGrantedError, IdempotencyConflictError                                  422
    +-- GuestError             the actor's code did it: its author has the traceback in the log
    |   +-- ActorError                                            400 to 499, the actor's own choice
    |   +-- ActorReentrancyError, ActorDeadlockError                                           409
    |   +-- ActorMethodError, ActorInitError, ActorTrapError, CodecError, LimitError,
    |   |   UnsupportedError, OutboundDeniedError                                              500
    |   +-- ActorMethodTimeoutError, ActorFetchTimeoutError                                    504
    +-- UnavailableError       nobody is wrong: wait, and look at the host
    |   +-- MailboxFullError, DeployQueueFullError                                             429
    |   +-- ActorOutputGateError       the outcome is unknown, or its result is lost           500
    |   +-- OutboundUnreachableError                                                           502
    |   +-- HostUnavailableError, ActorQuarantinedError, OutboundBusyError,
    |   |   SocketRefusedError                                                                 503
    |   +-- OutboundTimeoutError                                                               504
    |   +-- StorageFullError                                                                   507
    +-- ConfigurationError     the operator's setting or directory is wrong: said at start, exit 2
    +-- InternalError          our bug                                                         500

The mapping to HTTP travels with the class: `status`, and `retryable` when the same call may succeed later and is known
to have committed nothing. What all of them are is `error_base`.
"""

from __future__ import annotations

from holdfast_host.core.error_base import HoldfastError as HoldfastError
from holdfast_host.core.error_base import InternalError as InternalError


class CallerError(HoldfastError):
    """The request is wrong."""

    default_status = 400


class BadRequestError(CallerError):
    """The request is not what this route takes: not JSON, nested too deep, a number too large, a bad parameter.

    A body that comes too slowly is 408, one with a content coding that the route does not take off 415, one with a
    transfer coding besides `chunked` 501.
    """


class BadArgumentsError(CallerError):
    """The arguments do not bind to the method's signature, or do not fit its annotations."""


class InvalidNameError(CallerError):
    """A name of an instance, type, function or binding breaks its rule."""


class UnauthorizedError(CallerError):
    """No token, or none of the host's, or one that has expired."""

    default_status = 401


class ForbiddenError(CallerError):
    """The token is good, the request is not allowed: it needs another scope, or the token is for other types."""

    default_status = 403


class ActorPrivateMethodError(CallerError):
    """The class has this attribute, but it is not callable from outside."""

    default_status = 403


class UnknownFunctionError(CallerError):
    """No function of that name is deployed."""

    default_status = 404


class UnknownActorTypeError(CallerError):
    """No deployed function owns that actor type."""

    default_status = 404


class ActorUnknownMethodError(CallerError):
    """The actor has no such method."""

    default_status = 404


class UnknownBindingError(CallerError):
    """The function has no such binding."""

    default_status = 404


class UnknownVersionError(CallerError):
    """The function has no such version any more."""

    default_status = 404


class UnknownSocketError(CallerError):
    """The instance has no such socket."""

    default_status = 404


class UnknownInstanceError(CallerError):
    """The instance has nothing stored."""

    default_status = 404


class UnknownKeyError(CallerError):
    """The instance has no such key."""

    default_status = 404


class UnknownJobError(CallerError):
    """The instance has no job of that id: it is done, or was cancelled."""

    default_status = 404


class UnknownTenantError(CallerError):
    """There is no tenant of that name."""

    default_status = 404


class TenantInUseError(CallerError):
    """The tenant has functions or instances, so it cannot be deleted."""

    default_status = 409


class UnknownSecretError(CallerError):
    """There is no secret of that name."""

    default_status = 404


class UnknownTokenError(CallerError):
    """There is no token of that id."""

    default_status = 404


class UnknownRouteError(CallerError):
    """No such path."""

    default_status = 404


class WrongMethodError(CallerError):
    """The path exists, the HTTP method does not fit it."""

    default_status = 405


class TypeOwnedError(CallerError):
    """Another function owns the actor type."""

    default_status = 409


class FunctionReferencedError(CallerError):
    """Another function refers to a type of this one."""

    default_status = 409


class BreakingChangeError(CallerError):
    """The new version drops what callers or instances rely on."""

    default_status = 409


class DeployConflictError(CallerError):
    """The function's name is taken by another `func_id`, or another deploy of it is under way."""

    default_status = 409


class InstanceExistsError(CallerError):
    """The instance that was to be made has something stored."""

    default_status = 409


class PayloadTooLargeError(CallerError):
    """The request body is larger than its limit."""

    default_status = 413


class InvalidComponentError(CallerError):
    """The component cannot be run here, and why."""

    default_status = 422


class InvalidManifestError(CallerError):
    """The manifest breaks a rule, and which."""

    default_status = 422


class UnresolvedBindingError(CallerError):
    """A binding refers to a type that nobody owns."""

    default_status = 422


class OutboundNotGrantedError(CallerError):
    """The manifest asks for outbound requests that the operator does not grant."""

    default_status = 422


class IdempotencyConflictError(CallerError):
    """The idempotency key was used for another call of the instance: another method, encoding or body."""

    default_status = 422


class GuestError(HoldfastError):
    """The guest's code did it."""


class ActorError(GuestError):
    """The actor refused, with a code and a status of its own choice (400 to 499)."""

    default_status = 400


class ActorReentrancyError(GuestError):
    """The call would come back to an instance whose turn waits for it."""

    default_status = 409


class ActorDeadlockError(GuestError):
    """Turns wait for each other in a ring; this call closed it."""

    default_status = 409
    default_retryable = True


class ActorMethodError(GuestError):
    """The method raised."""


class ActorInitError(GuestError):
    """The constructor raised; the activation is dropped."""


class ActorTrapError(GuestError):
    """The sandbox stopped the guest: stack, exit, memory, a broken contract."""


class CodecError(GuestError):
    """A value cannot be encoded, or an encoded one cannot be read."""


class LimitError(GuestError):
    """A limit was passed; the message quotes value and limit."""


class UnsupportedError(GuestError):
    """The contract has this capability, but not for this guest: a function has no storage and no alarm."""


class OutboundDeniedError(GuestError):
    """The function may not send that request, or it leads to an address that nobody may ask."""


class ActorMethodTimeoutError(GuestError):
    """The turn was over its budget; it committed nothing."""

    default_status = 504


class ActorFetchTimeoutError(GuestError):
    """The fetch handler was over its budget."""

    default_status = 504


class UnavailableError(HoldfastError):
    """Nobody is wrong; the host cannot do it now."""

    default_status = 503


class MailboxFullError(UnavailableError):
    """The instance's queue, or its worker's, is full."""

    default_status = 429
    default_retryable = True


class DeployQueueFullError(UnavailableError):
    """Too many deploys wait for the compiler, of all clients or of this one; nothing was deployed."""

    default_status = 429
    default_retryable = True


class ActorOutputGateError(UnavailableError):
    """The sync failed or the worker died at that moment: the outcome is unknown, or committed with its result lost."""

    default_status = 500


class HostUnavailableError(UnavailableError):
    """The call committed nothing: starting, stopping, worker died, waited too long, at a cap."""

    default_retryable = True


class ActorQuarantinedError(UnavailableError):
    """The instance killed workers again and again."""


class SocketRefusedError(UnavailableError):
    """There is no room for another socket: the handshake did not begin."""

    default_status = 503
    default_retryable = True


class OutboundUnreachableError(UnavailableError):
    """An outbound request got no connection, or it broke: the outcome may be unknown."""

    default_status = 502


class OutboundTimeoutError(UnavailableError):
    """An outbound request got no whole answer in time: the outcome may be unknown."""

    default_status = 504


class OutboundBusyError(UnavailableError):
    """Too many outbound requests are under way; nothing was sent."""

    default_retryable = True


class StorageFullError(UnavailableError):
    """A quota or the disk is full; the turn committed nothing."""

    default_status = 507


class ConfigurationError(HoldfastError):
    """A setting or the data directory is wrong."""
