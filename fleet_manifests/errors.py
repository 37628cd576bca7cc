"""The one error tree of Lading.

A message says what was expected, what was found and what to do. The class says whose
turn it is: the person at the keyboard (`UsageError`, `ConfigError`), the data, the
publisher (`IntegrityError`), the network, the disk, or a gate that did its job.
"""

from __future__ import annotations


class LadingError(Exception):
    """Root of every error that Lading raises on purpose.

    `exit_code` is what a program ends with: 1 refused, 2 bad usage.
    """

    exit_code = 1


class UsageError(LadingError):
    """The command was called wrongly: an unknown name, options that exclude each other."""

    exit_code = 2


class ConfigError(UsageError):
    """A file of the project does not say what it must.

    The message has the form `file:line: field: problem; what to do`.
    """


class MissingExtraError(UsageError):
    """A command needs an optional part of the distribution that is not installed."""


class DataError(LadingError):
    """Source data, a corpus or labelled rows cannot be used as they are."""


class RefusedError(LadingError):
    """A gate or a policy says no: a verdict, a missing approval, an unmeasured profile."""


class IntegrityError(LadingError):
    """Bytes are not what was signed: digest, signature, schema, freshness or identity."""


class UnreachableError(LadingError):
    """A database, repository or central service could not be reached."""


class StorageError(LadingError):
    """The disk is full or not writable, or a lock is held by another process."""
