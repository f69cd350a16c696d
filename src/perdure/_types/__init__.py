"""Types: TypeScript declarations, so that an editor knows the steps to import. Pure."""

from __future__ import annotations

from .ambient import AMBIENT as AMBIENT
from .declare import Declared as Declared, declare_module as declare_module
from .forms import is_declarable as is_declarable
