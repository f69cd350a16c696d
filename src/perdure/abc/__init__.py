"""The contracts a world implements, a file each."""

from __future__ import annotations

from ._blobs import Blobs as Blobs
from ._catalogue import Catalogue as Catalogue
from ._queue import Queue as Queue
from ._snapshots import Snapshots as Snapshots
from ._storage import DirectStorage as DirectStorage, Storage as Storage
from ._streams import Streams as Streams
from ._transfer import Transfer as Transfer
from ._world import Capability as Capability, World as World
