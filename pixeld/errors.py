"""The one error tree. A message says what happened, why, and what to do; a class carries its HTTP status and a stable code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pixeld.domain.events import ChunkId


class PixeldError(Exception):
    """Base of every error pixeld raises on purpose. Never raised itself."""

    status = 500
    code = "internal"


class SettingsError(PixeldError):
    """A setting is unknown, missing or out of range; the server does not start."""

    code = "bad_settings"


class PolicyError(PixeldError):
    """The privacy data map is malformed, contradicts itself, or yields a policy that browsers would refuse."""

    code = "bad_policy"


class DataDirInUse(PixeldError):
    """Another pixeld owns the data directory."""

    code = "data_dir_in_use"


class MigrationError(PixeldError):
    """The schema cannot be brought to this version's state."""

    code = "migration_failed"


class PartFailed(PixeldError):
    """A part of the running server has met an error of its own, or has ended; without it the server stops."""

    code = "part_failed"


class BadInput(PixeldError):
    """A value from outside breaks a rule; ``field`` names it."""

    status = 400
    code = "bad_input"

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidForm(BadInput):
    """Some fields of a form break a rule: `problems` says of each what is wrong with it, in a sentence."""

    code = "invalid_form"

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {problem}" for field, problem in problems.items()), next(iter(problems), None))
        self.problems = dict(problems)


class Unauthorized(PixeldError):
    """No credential, or one that is not valid here."""

    status = 401
    code = "unauthorized"


class CodeNeeded(Unauthorized):
    """The password is right, and the account wants the code of its authenticator as well."""

    code = "code_needed"


class Forbidden(PixeldError):
    """Who asks is known, and may not do this."""

    status = 403
    code = "forbidden"


class NotFound(PixeldError):
    """The named thing does not exist."""

    status = 404
    code = "not_found"


class AlreadyExists(PixeldError):
    """The id is taken."""

    status = 409
    code = "already_exists"


class Conflict(PixeldError):
    """Somebody else has changed it since it was read; nothing was changed."""

    status = 409
    code = "conflict"


class TooMany(PixeldError):
    """Too many attempts; the next one may be made in `retry_s` seconds at the latest."""

    status = 429
    code = "too_many"

    def __init__(self, message: str, retry_s: float) -> None:
        super().__init__(message)
        self.retry_s = retry_s


class Unavailable(PixeldError):
    """A dependency does not answer now; the same call may work later."""

    status = 503
    code = "unavailable"


class QueueAway(Unavailable):
    """Redis does not answer, or refused a write. Whether the write took place may be unknown: retry with the same id."""

    code = "queue_away"


class ChunkRefused(PixeldError):
    """Redis refuses a chunk's id as not greater than `last`, the greatest one that the stream ever held."""

    code = "chunk_refused"

    def __init__(self, message: str, last: ChunkId) -> None:
        super().__init__(message)
        self.last = last


class SpillFailed(Unavailable):
    """The spill could not make a chunk durable (disk full, bound reached, I/O error)."""

    code = "spill_failed"


class WarehouseAway(Unavailable):
    """ClickHouse does not answer; the outcome of a sent insert is unknown: retry with the same token."""

    code = "warehouse_away"


class WarehouseRefused(PixeldError):
    """ClickHouse answered and refused the statement or the rows; sending the same again will fail again.

    `number` is ClickHouse's own code, None when pixeld itself refused.
    """

    code = "warehouse_refused"

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.number = number


class LeaseLost(PixeldError):
    """Another flusher owns the stream now; whatever this one was about to write must not be written."""

    code = "lease_lost"
