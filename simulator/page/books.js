// The provider's books, and faults on demand.

import { $, ENTRIES_SHOWN, FAULTS, FAULTS_AGAIN_MS, OUTCOMES, SIM, dollars, state } from "./state.js";
import { call, make, person, toast, tried } from "./basics.js";
import { timeOf } from "./messages.js";

export async function readBooks() {
  const { creates, totals } = await call("GET", "/_sim/books");
  $("paid-calls").textContent = String(totals.paid_calls);
  $("requests").textContent = String(totals.creates);
  $("charged").textContent = $("chip-charged").textContent = dollars.format(totals.charged_microusd / 1e6);
  const each = Object.entries(totals.by_provider).filter(([, own]) => own.creates > 0);
  $("by-provider").replaceChildren(...(each.length > 1 ? each.map(providerRow) : []));
  $("entries").replaceChildren(...creates.slice(-ENTRIES_SHOWN).reverse().map(entryRow));
  $("no-entries").hidden = creates.length > 0;
  await readFaults();
}

const nameOf = (provider) => (provider === "openai" ? "sim-1's provider" : provider);

function providerRow([provider, own]) {
  const calls = `${own.paid_calls} ${own.paid_calls === 1 ? "paid call" : "paid calls"}`;
  const words = `${nameOf(provider)}: ${calls}, ${dollars.format(own.charged_microusd / 1e6)}`;
  return make("li", { data: { testid: `books-of-${provider}` } }, words);
}

function entryRow(create) {
  const ordered = create.job_id !== null;
  const made = ordered && create.charged_microusd > 0;
  const answered = OUTCOMES[create.outcome_sent] ?? create.outcome_sent.replaceAll("_", " ");
  const outcome = ordered && !made ? "failed, not charged" : answered;
  const size = [create.seconds && `${create.seconds} s`, create.size].filter(Boolean).join(" · ");
  return make(
    "li",
    { data: { testid: "books-entry" } },
    make(
      "p",
      { className: "facts" },
      timeOf(create.at),
      make("span", { className: `outcome ${made ? "made" : "refused"}` }, outcome),
      make("strong", {}, dollars.format(create.charged_microusd / 1e6)),
    ),
    make("p", { className: "prompt", dir: "auto", title: create.prompt ?? "" }, create.prompt ?? "no prompt"),
    make("p", { className: "hint" }, create.provider === "openai" ? "" : `${create.provider} · `, size, ordered ? ` · ${create.job_id}` : ""),
  );
}

export function drawFaults() {
  const what = "The bot receives the same update again.";
  const again = { id: "redeliver", label: "Redeliver the last update", what, deed: redeliver };
  $("faults").replaceChildren(
    ...[...FAULTS, again].map(({ id, label, what, body, deed }) => {
      const onclick = tried(deed ?? (() => arm(body)));
      const button = make("button", { type: "button", className: "fault", onclick, data: { testid: `trouble-${id}` } });
      button.append(
        make("span", {}, label),
        make("span", { className: "armed", hidden: true }),
        make("small", {}, what),
      );
      return make("li", {}, button);
    }),
  );
}

async function arm(body) {
  drawArmed(await call("POST", "/_sim/faults", body));
}

let faultTimer;

async function readFaults() {
  drawArmed(await call("GET", "/_sim/faults"));
}

export function drawArmed({ armed }) {
  for (const { id, body } of FAULTS) {
    const times = armed
      .filter((fault) => fault.target === body.target && fault.kind === body.kind)
      .reduce((sum, fault) => sum + (fault.times ?? Infinity), 0);
    const mark = document.querySelector(`[data-testid="trouble-${id}"] .armed`);
    mark.hidden = times === 0;
    mark.textContent = times > 1 ? `armed × ${times === Infinity ? "∞" : times}` : "armed";
  }
  $("calm").hidden = armed.length === 0;
  // A fault is met without an event, so poll while one is armed.
  clearTimeout(faultTimer);
  if (armed.length > 0) faultTimer = setTimeout(() => readFaults().catch(() => {}), FAULTS_AGAIN_MS);
}

async function redeliver() {
  const { updates } = await call("GET", `${SIM}/updates`);
  const last = updates.filter((one) => one.chat_id === state.chat).at(-1);
  if (!last) throw new Error("Nothing was sent to the bot from this chat yet.");
  await call("POST", `${SIM}/redeliver`, { update_id: last.update_id });
  toast(`Update ${last.update_id} (${last.kind.replaceAll("_", " ")}) is delivered again.`);
}

export function drawBlock() {
  $("block-who").textContent = state.as?.name ?? "";
  $("block").checked = Boolean(person(state.as?.id)?.blocked);
}

export async function block() {
  const { as } = state;
  const blocked = $("block").checked;
  try {
    await call("POST", `${SIM}/block`, { user: as.id, blocked });
    Object.assign(person(as.id), { blocked });
  } finally {
    drawBlock();
  }
}
