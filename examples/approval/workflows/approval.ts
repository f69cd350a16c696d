import { answer, mail, show } from "python:mails";
import { createWebhook, sleep } from "workflow";

interface Purchase {
  what: string;
  cents: number;
  buyer: string;
  approver: string;
  boss: string;
}

// Links in mails are opened by people, and by programs that look for viruses. So opening one decides
// nothing: it shows a page, and the page's button does.
async function decision(link: ReturnType<typeof createWebhook>, time: Promise<void>) {
  while (true) {
    const click = await Promise.race([link, time]);
    if (!(click instanceof Request)) return null; // the time is over
    const form = new URLSearchParams(click.method === "POST" ? await click.text() : "");
    const verdict = form.get("verdict");
    if (verdict === "yes" || verdict === "no") {
      await answer(click, verdict);
      return verdict;
    }
    await show(click);
  }
}

export async function approval(purchase: Purchase) {
  "use workflow";
  const link = createWebhook({ respondWith: "manual" });
  await mail("ask", purchase.approver, purchase, link.url);
  let by = purchase.approver, verdict = await decision(link, sleep("1 day"));
  if (!verdict) {
    await mail("remind", purchase.approver, purchase, link.url);
    verdict = await decision(link, sleep("1 day"));
  }
  if (!verdict) {
    by = `${purchase.approver} or ${purchase.boss}`; // the first link goes on to work
    await mail("escalate", purchase.boss, purchase, link.url);
    verdict = await decision(link, sleep("3 days"));
  }
  link.dispose();
  await mail(verdict ?? "expired", purchase.buyer, purchase, null);
  return { verdict: verdict ?? "expired", by: verdict ? by : null };
}
