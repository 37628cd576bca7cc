"""What can be wrong with a request, beyond the error tree of the contract.

Each class is the HTTP answer that a caller gets (`runtimes.web`) and, through its parent,
the exit code that a command line ends with.
"""

from __future__ import annotations

from fleet_manifests import DataError, LadingError, RefusedError, UsageError


class MalformedError(UsageError):
    """The body is not JSON, or is not declared as JSON."""


class NotFoundError(UsageError):
    """No workflow or request of that name."""


class TooLargeError(DataError):
    """The body or the text is over its limit."""


class UnauthorizedError(RefusedError):
    """No token, or one that nobody was given."""


class ForbiddenError(RefusedError):
    """The caller is known but may not do this: a role, another site's records."""


class ConflictError(RefusedError):
    """The same request id was used for something else."""


class UnavailableError(LadingError):
    """Nothing can be served now: no version is active."""
