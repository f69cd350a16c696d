"""The pure functions that world authors may call.

Some parameters mean the same in all of them. *now_ms* is the world's clock. *limit* is the most
that is claimed, listed or read, *cursor* that of the page before. *topics* are those of messages
that are asked for. *holder* returns the live hook that has a token. A claim's lease is dead at
*until_ms*; *new_token* returns a token that no lease has. ``make_committed`` and ``make_lease``
do as the calls of their classes, in a quarter of the time.
"""

from __future__ import annotations

from typing import cast

from .._core.attributes import (
    attributes_after as attributes_after,
    merged_attributes as merged_attributes,
)
from .._core.book import Book as Book
from .._core.children import (
    child_answer as child_answer,
    end_notice as end_notice,
    end_of_missing as end_of_missing,
    end_of_run as end_of_run,
    is_watching as is_watching,
    parent_of as parent_of,
    watch_fence as watch_fence,
    watcher_of as watcher_of,
)
from .._core.claims import QueuedMessage as QueuedMessage
from .._core.fold import Entity as Entity, fold as fold
from .._core.hooks import (
    REVOKE_LEVEL as REVOKE_LEVEL,
    check_token as check_token,
    hook_changes as hook_changes,
    hook_record as hook_record,
    is_blocking as is_blocking,
    keyed_event as keyed_event,
    revocation as revocation,
    takes_over as takes_over,
)
from .._core.landing import (
    advanced_record as advanced_record,
    check_turn as check_turn,
    conflict_event as conflict_event,
    created_event as created_event,
    ended_event as ended_event,
    ended_record as ended_record,
    fresh_record as fresh_record,
    list_cursor as list_cursor,
    matches_filter as matches_filter,
    parse_cursor as parse_cursor,
)
from .._core.leases import (
    Claimable as Claimable,
    Mailbox as Mailbox,
    check_lease as check_lease,
    rearmed_due_ms as rearmed_due_ms,
)
from .._core.outbox import Letter as Letter, outbox_due_ms as outbox_due_ms
from .._core.plain import load_plain as load_plain
from .._core.post import (
    refused_start as refused_start,
    start_child as start_child,
    take_letter as take_letter,
)
from .._core.shelf import (
    claim_due_messages as claim_due_messages,
    claim_due_wakes as claim_due_wakes,
    count_due as count_due,
    ended_before as ended_before,
    list_page as list_page,
    run_state as run_state,
)
from .._core.stream_log import (
    StreamLog as StreamLog,
    copied_writes as copied_writes,
    fitting as fitting,
)
from .._core.transfer import (
    arrive as arrive,
    arrived_already as arrived_already,
    arrived_record as arrived_record,
    check_same_arrival as check_same_arrival,
    check_tokens_free as check_tokens_free,
    confirmed_record as confirmed_record,
    depart as depart,
    departed_outcome as departed_outcome,
    has_departed as has_departed,
    moved_event as moved_event,
    moved_key as moved_key,
    moved_to as moved_to,
    pending_work as pending_work,
    work_of as work_of,
)
from .._core.transitions import (
    TABLES as TABLES,
    EntityKind as EntityKind,
    transition as transition,
)
from .._core.urls import WorldUrl as WorldUrl, parse_url as parse_url
from .._model import constructors as _constructors
from .._model.commit import Committed as _Committed
from .._model.queue import Lease as _Lease
from .._model.streams import is_system_stream as is_system_stream

# To be called only: what is checked of a call of the class is checked of these.
make_committed: type[_Committed] = cast("type[_Committed]", _constructors.make_committed)
make_lease: type[_Lease] = cast("type[_Lease]", _constructors.make_lease)
