"""A form with a file, as a browser or `curl -F` sends it (multipart/form-data).

Owns finding the file. Leaves what is in it to `serving/people`.
"""

from __future__ import annotations

from holdfast.serving.refusal import RequestError

_MOST = 100  # parts that are looked at
_NONE = 'multipart/form-data: expected a file, as of curl -F "file=@NAME", found none'


def file(content_type: str, body: bytes) -> tuple[str, bytes]:
    """Return the type and the bytes of a form's first file.

    Raises:
        RequestError: the body is no form, or has no file.
    """
    edge = b"\r\n--" + _boundary(content_type)
    for part in (b"\r\n" + body).split(edge, _MOST)[1:]:
        head, found, content = part.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        if found and "filename=" in headers.get("content-disposition", ""):
            return headers.get("content-type", "application/octet-stream"), content
    raise RequestError(_NONE)


def _boundary(content_type: str) -> bytes:
    for part in content_type.split(";")[1:]:
        name, _, value = part.strip().partition("=")
        if name.lower() == "boundary" and value.strip('"'):
            return value.strip('"').encode("latin-1", "replace")
    raise RequestError("multipart/form-data: expected a boundary in Content-Type, found none")
