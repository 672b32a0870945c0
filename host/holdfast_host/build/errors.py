"""The one error of a build."""

from __future__ import annotations

from holdfast_host.core.errors import CallerError


class BuildError(CallerError):
    """The project cannot be built: one sentence, with the author's file and line where there is one.

    `details` is more than a sentence (a traceback, a tool's output), for those who ask; it may be empty.
    """

    default_status = 422

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details
