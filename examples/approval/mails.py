"""The steps of an approval: mails, and the pages that the links in them show.

Each mail is a file in ``.perdure/outbox``, which stands for a mail server. Its name is the step's
id, so a step that runs again sends the same mail, not another one.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import TypedDict

from perdure import step, step_metadata
from perdure.values import Request, Response

__all__ = ("OUTBOX", "Purchase", "answer", "mail", "show")

OUTBOX = Path(__file__).parent / ".perdure" / "outbox"
TEXTS = {
    "ask": "{buyer} would like to buy {what} for {price}. Say yes or no: {link}",
    "remind": "{buyer} still waits for your word on {what}: {link}",
    "escalate": "{approver} has not answered. {buyer} would like to buy {what} for {price}: {link}",
    "yes": "You may buy {what}.",
    "no": "You may not buy {what}.",
    "expired": "Nobody decided on {what}; ask again.",
}
HTML = {"content-type": "text/html; charset=utf-8", "referrer-policy": "no-referrer"}


class Purchase(TypedDict):
    """What somebody would like to buy, and who is to decide."""

    what: str
    cents: int
    buyer: str
    approver: str
    boss: str


@step
async def mail(kind: str, to: str, purchase: Purchase, link: str | None) -> None:
    """Send a mail."""
    text = TEXTS[kind].format(**purchase, price=f"{purchase['cents'] / 100:.2f} €", link=link)
    name = f"{step_metadata().id.replace('/', '-')}.json"
    OUTBOX.mkdir(parents=True, exist_ok=True)
    draft = OUTBOX / f".{name}"
    draft.write_text(json.dumps({"kind": kind, "to": to, "text": text, "link": link}))
    draft.rename(OUTBOX / name)


@step
async def show(click: Request) -> None:
    """Answer whoever opened the link with a page that asks."""
    buttons = "".join(
        f'<button name="verdict" value="{value}">{text}</button>'
        for value, text in (("yes", "Yes"), ("no", "No"))
    )
    page = f'<form method="post" action="{escape(click.url)}"><p>May they?</p>{buttons}</form>'
    await click.respond_with(Response(page, headers=HTML))


@step
async def answer(click: Request, verdict: str) -> None:
    """Answer whoever decided."""
    await click.respond_with(Response(f"<p>Noted: {escape(verdict)}.</p>", headers=HTML))
