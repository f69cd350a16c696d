"""The HTTP face: webhooks, health and the run API as an ASGI app on Starlette.

Needs the extra ``perdure[web]``. The app opens no world and runs no worker: the service around it
does both. It keeps nothing between requests, so any number of processes may serve one world.
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("starlette") is None:
    raise ImportError(
        "perdure.web is built on Starlette; install it with: pip install perdure[web]"
    )

from ._app import app as app
from ._authority import Action as Action, Authorize as Authorize
from ._beside import beside as beside
from ._limits import HttpLimits as HttpLimits
