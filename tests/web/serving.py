"""A service over real sockets: an application under uvicorn, in a thread of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

__all__ = ("serving",)


@contextmanager
def serving(application: ASGIApp) -> Generator[str, None, None]:
    """The URL of the application within the block; its lifespan is the block's."""
    config = uvicorn.Config(
        application, log_level="warning", lifespan="on", timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
