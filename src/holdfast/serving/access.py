"""Who may ask: whoever has the token, or, without one, whoever sits at this machine.

Owns the token's check and the check of the name the server is called by. Leaves which paths need
none to `app`.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping

from holdfast.serving.refusal import RequestError


class Access:
    """Says whether a request may be answered.

    Args:
        token: that it must bring; None for none.
        host: that the server listens at. Where that is this machine alone and there is no token,
            only names of this machine are answered to: a page from elsewhere could otherwise
            have its own name point here, and read the answers.
    """

    def __init__(self, token: str | None, host: str) -> None:
        self.secured = token is not None
        self._token = (token or "").encode()
        self._hosts = (
            {"localhost", "127.0.0.1", "::1", host.lower()}
            if is_loopback(host) and not self.secured
            else None
        )

    def check_name(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise where the server is called by a name that is not its own.

        Raises:
            RequestError: 403.
        """
        if self._hosts is None:
            return
        said = headers.get(b"host", b"localhost").decode("latin-1")
        if _without_port(said).lower() not in self._hosts:
            raise RequestError(
                "this server answers to the names of its own machine alone, such as localhost", 403
            )

    def check_token(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise where a token is needed and is not there.

        Raises:
            RequestError: 401.
        """
        if not self.secured:
            return
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer" or not hmac.compare_digest(token.strip(), self._token):
            raise RequestError(
                "a token is needed: send the header Authorization: Bearer TOKEN",
                401,
                {"WWW-Authenticate": "Bearer"},
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens at a host."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
