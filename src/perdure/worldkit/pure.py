"""The pure functions that world authors may call.

Some parameters mean the same in all of them. *now_ms* is the world's clock. *limit* is the most
that is claimed, listed or read, *cursor* that of the page before. *topics* are those of messages
that are asked for. *holder* returns the live hook that has a token. A claim's lease is dead at
*until_ms*; *new_token* returns a token that no lease has. ``make_committed`` and ``make_lease``
do as the calls of their classes, in a quarter of the time. A name is imported from its home when it
is first asked for: few worlds use all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from .._lazy import lazy_names
from .._model import constructors as _constructors
from .._model.commit import Committed as _Committed
from .._model.queue import Lease as _Lease

if TYPE_CHECKING:
    from .._core.attributes import (
        attributes_after as attributes_after,
        merged_attributes as merged_attributes,
    )
    from .._core.book import Book as Book
    from .._core.cancellation import (
        asked_record as asked_record,
        deadline_of as deadline_of,
        is_cancel as is_cancel,
        reaches_children as reaches_children,
        withdraw as withdraw,
    )
    from .._core.children import (
        child_answer as child_answer,
        end_notice as end_notice,
        end_of_missing as end_of_missing,
        end_of_run as end_of_run,
        is_watching as is_watching,
        parent_of as parent_of,
        started_by as started_by,
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
        cancel_child as cancel_child,
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
    from .._model.streams import is_system_stream as is_system_stream
else:
    _HOMES = {
        "attributes_after": ".._core.attributes",
        "merged_attributes": ".._core.attributes",
        "Book": ".._core.book",
        "asked_record": ".._core.cancellation",
        "deadline_of": ".._core.cancellation",
        "is_cancel": ".._core.cancellation",
        "reaches_children": ".._core.cancellation",
        "withdraw": ".._core.cancellation",
        "child_answer": ".._core.children",
        "end_notice": ".._core.children",
        "end_of_missing": ".._core.children",
        "end_of_run": ".._core.children",
        "is_watching": ".._core.children",
        "parent_of": ".._core.children",
        "started_by": ".._core.children",
        "watch_fence": ".._core.children",
        "watcher_of": ".._core.children",
        "QueuedMessage": ".._core.claims",
        "Entity": ".._core.fold",
        "fold": ".._core.fold",
        "REVOKE_LEVEL": ".._core.hooks",
        "check_token": ".._core.hooks",
        "hook_changes": ".._core.hooks",
        "hook_record": ".._core.hooks",
        "is_blocking": ".._core.hooks",
        "keyed_event": ".._core.hooks",
        "revocation": ".._core.hooks",
        "takes_over": ".._core.hooks",
        "advanced_record": ".._core.landing",
        "check_turn": ".._core.landing",
        "conflict_event": ".._core.landing",
        "created_event": ".._core.landing",
        "ended_event": ".._core.landing",
        "ended_record": ".._core.landing",
        "fresh_record": ".._core.landing",
        "list_cursor": ".._core.landing",
        "matches_filter": ".._core.landing",
        "parse_cursor": ".._core.landing",
        "Claimable": ".._core.leases",
        "Mailbox": ".._core.leases",
        "check_lease": ".._core.leases",
        "rearmed_due_ms": ".._core.leases",
        "Letter": ".._core.outbox",
        "outbox_due_ms": ".._core.outbox",
        "load_plain": ".._core.plain",
        "cancel_child": ".._core.post",
        "refused_start": ".._core.post",
        "start_child": ".._core.post",
        "take_letter": ".._core.post",
        "claim_due_messages": ".._core.shelf",
        "claim_due_wakes": ".._core.shelf",
        "count_due": ".._core.shelf",
        "ended_before": ".._core.shelf",
        "list_page": ".._core.shelf",
        "run_state": ".._core.shelf",
        "StreamLog": ".._core.stream_log",
        "copied_writes": ".._core.stream_log",
        "fitting": ".._core.stream_log",
        "arrive": ".._core.transfer",
        "arrived_already": ".._core.transfer",
        "arrived_record": ".._core.transfer",
        "check_same_arrival": ".._core.transfer",
        "check_tokens_free": ".._core.transfer",
        "confirmed_record": ".._core.transfer",
        "depart": ".._core.transfer",
        "departed_outcome": ".._core.transfer",
        "has_departed": ".._core.transfer",
        "moved_event": ".._core.transfer",
        "moved_key": ".._core.transfer",
        "moved_to": ".._core.transfer",
        "pending_work": ".._core.transfer",
        "work_of": ".._core.transfer",
        "TABLES": ".._core.transitions",
        "EntityKind": ".._core.transitions",
        "transition": ".._core.transitions",
        "WorldUrl": ".._core.urls",
        "parse_url": ".._core.urls",
        "is_system_stream": ".._model.streams",
    }
    __all__ = ("make_committed", "make_lease", *_HOMES)
    __getattr__, __dir__ = lazy_names(__name__, _HOMES)

# To be called only: what is checked of a call of the class is checked of these.
make_committed: type[_Committed] = cast("type[_Committed]", _constructors.make_committed)
make_lease: type[_Lease] = cast("type[_Lease]", _constructors.make_lease)
