"""The answer to a request that cannot be done: its status and its words.

Owns the error. Leaves finding what is wrong to the modules that read requests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from holdfast.errors import HoldfastError


class RequestError(HoldfastError):
    """A request that is refused.

    Args:
        message: what was expected, what was found, the way out; says nothing of this machine.
        status: of HTTP.
        headers: that go with the answer.
    """

    def __init__(
        self, message: str, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status = status
        self.headers = dict(headers or {})
        super().__init__(message)

    def body(self) -> bytes:
        """Return the answer's JSON, as the Open Inference Protocol has it."""
        return json.dumps({"error": str(self)}).encode()
