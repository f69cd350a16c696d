"""Types: TypeScript declarations, so that an editor knows what a workflow may import. Pure."""

from __future__ import annotations

from .ambient import AMBIENT as AMBIENT
from .declare import Declared as Declared, declare_module as declare_module
from .forms import is_declarable as is_declarable
