"""The server's paths: which there are, by which method, and who needs no token for them.

Owns the table of them, the names of models and versions in paths, and what is said where there is
nothing. Leaves answering to `app`, which gives a function for each path.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from holdfast.errors import did_you_mean
from holdfast.serving import metadata, page
from holdfast.serving.body import Receive, Share
from holdfast.serving.refusal import RequestError
from holdfast.serving.response import Response

_MODEL = "/v2/models/{model}"
_OF_VERSION = re.compile(r"/v2/models/([^/]+)/versions/([^/]+)(/[a-z]+)?")
_OF_MODEL = re.compile(r"/v2/models/([^/]+)(/.*)?")


@dataclass(slots=True)
class Request:
    """A request, as its path's function takes it.

    Args:
        headers: by their names in small letters.
        receive: gives the body.
        share: of the memory for bodies, until the request is answered.
        path: as it was asked for.
        version: that its path names.
    """

    headers: Mapping[bytes, bytes]
    receive: Receive
    share: Share
    path: str
    version: str | None = None


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """A path.

    Args:
        label: its pattern, as the metrics have it.
        method: by which it is asked for; HEAD goes with GET.
        free: whether no token is needed.
    """

    label: str
    method: str
    free: bool = False


PREDICT = Route("/predict", "POST")
LIVE = Route("/v2/health/live", "GET", free=True)
READY = Route("/v2/health/ready", "GET", free=True)
SERVER = Route("/v2", "GET")
ALL_STATS = Route("/v2/models/stats", "GET")
INDEX = Route("/v2/repository/index", "POST")
OPENAPI = Route("/openapi.json", "GET")
FACTS = Route("/page.json", "GET")
METRICS = Route("/metrics", "GET")
INFER = Route(f"{_MODEL}/infer", "POST")
MODEL = Route(_MODEL, "GET")
CONFIG = Route(f"{_MODEL}/config", "GET")
STATS = Route(f"{_MODEL}/stats", "GET")
MODEL_READY = Route(f"{_MODEL}/ready", "GET", free=True)
ASSET = Route("/page", "GET", free=True)  # and whatever belongs to the page
NOWHERE = Route("other", "")


class Routes:
    """What is at which path.

    Args:
        model: the name of the one that is served.
        handlers: what answers at each.
    """

    def __init__(self, model: str, handlers: Mapping[Route, Handler]) -> None:
        self._model = model
        self._handlers = handlers
        self._at = {
            route.label.replace("{model}", model): route for route in handlers if route != ASSET
        }

    def find(self, path: str) -> tuple[Route, str | None]:
        """Return what is at a path, and the version that it names."""
        route = self._at.get(path)
        if route is not None:
            return route, None
        named = _OF_VERSION.fullmatch(path)
        if named and named[1] == self._model:
            route = self._at.get(f"/v2/models/{named[1]}{named[3] or ''}")
            if route is not None:
                return route, named[2]
        return (ASSET if page.asset(path) is not None else NOWHERE), None

    def handler(self, route: Route, method: str, path: str) -> Handler:
        """Return what answers a method at a route.

        Raises:
            RequestError: 404, there is nothing at the path; 405, the method is another.
        """
        if route is NOWHERE:
            raise self._nothing(path)
        if method != route.method and (method, route.method) != ("HEAD", "GET"):
            allowed = "GET, HEAD" if route.method == "GET" else route.method
            raise RequestError(f"expected {allowed}, found {method[:20]}", 405, {"Allow": allowed})
        return self._handlers[route]

    def _nothing(self, path: str) -> RequestError:
        named = _OF_MODEL.fullmatch(path)
        if not named or named[1] == self._model:
            return RequestError(metadata.not_here(path), 404)
        hint = did_you_mean(named[1], [self._model])
        return RequestError(
            f"there is no model {named[1][:100]!r}{hint}; the model here is {self._model!r}", 404
        )
