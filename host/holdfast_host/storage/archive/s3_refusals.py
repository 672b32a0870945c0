"""What a service of S3, or the client on the way to it, refuses: one sentence each, with what to do."""

from __future__ import annotations

import errno
from typing import Any, Final

_NO_SUCH_KEY: Final = frozenset({"NoSuchKey", "404"})
_CHANGED: Final = frozenset({"PreconditionFailed", "412", "InvalidRange", "416"})
_CREDENTIALS: Final = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "401"}
)
_RIGHTS: Final = frozenset({"AccessDenied", "AllAccessDisabled", "AccountProblem", "403"})
_REGION: Final = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
)
_SLOW: Final = frozenset({"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "500", "503"})
_NO_CREDENTIALS: Final = frozenset(
    {
        "NoCredentialsError",
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "ProfileNotFound",
        "TokenRetrievalError",
    }
)


class BucketError(OSError):
    """What a bucket refuses; `strerror` is the sentence, `filename` the place."""

    def __init__(self, sentence: str, where: str) -> None:
        super().__init__(errno.EIO, sentence, where)

    def __str__(self) -> str:
        """Place and sentence."""
        return f"{self.filename}: {self.strerror}"


class ChangedError(BucketError):
    """An object is not as its writer expected it, or ends before the byte that is asked for."""


def told(error: Any, where: str) -> OSError:
    """What is raised in place of an error of the client."""
    kind = type(error).__name__
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):
        return _refused(answer, where)
    if kind in _NO_CREDENTIALS:
        return BucketError(
            f"there are no credentials ({kind}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile", where
        )
    said = " ".join(str(error).split())[:200]
    return BucketError(f"the service of S3 does not answer ({kind}): {said}", where)


def _refused(answer: dict[str, Any], where: str) -> OSError:
    facts = answer.get("Error", {})
    code = str(facts.get("Code", ""))
    if code in _NO_SUCH_KEY:
        return FileNotFoundError(errno.ENOENT, "there is no such object", where)
    if code in _CHANGED:
        return ChangedError(f"it is not what it was ({code})", where)
    if code == "NoSuchBucket":
        sentence = "there is no such bucket: make it, or name another one"
    elif code in _CREDENTIALS:
        sentence = f"the service does not accept the credentials ({code}): set others"
    elif code in _RIGHTS:
        sentence = (
            f"the credentials do not allow it ({code}): grant s3:ListBucket, s3:ListBucketMultipartUploads, "
            "s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload"
        )
    elif code in _REGION:
        sentence = f"the bucket is in another region ({code}): name it with ?region= or AWS_REGION"
    elif code in {"NotImplemented", "501"}:
        sentence = "the service does not know conditional writes (If-None-Match, If-Match): use another one"
    elif code in _SLOW:
        sentence = f"the service fails for now ({code}): it is asked again"
    else:
        said = " ".join(str(facts.get("Message", "")).split())[:200]
        sentence = f"the service refuses it ({code or 'no code'}): {said}"
    return BucketError(sentence, where)
