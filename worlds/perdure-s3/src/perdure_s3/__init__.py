"""The S3 world of Perdure: durable runs in one bucket, for any number of machines."""

from __future__ import annotations

from ._sweeper import Swept as Swept, sweep as sweep
from ._world import S3World as S3World
