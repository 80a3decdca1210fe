// Buttons under messages, and the bot's answers to them.

import { AWAY, SIM, TAP_PATIENCE_MS, state } from "./state.js";
import { alertBox, call, make, toast, tried } from "./basics.js";

const waiting = new Map(); // callback query id -> end of its wait
const answered = new Set(); // answers that came before the tap's own answer

export function drawKeys(node, view) {
  const keyboard = view.keyboard ?? [];
  const written = JSON.stringify(keyboard);
  if (node.keys.written === written) return;
  node.keys.written = written;
  const line = (keys) => make("div", { className: "key-line" }, ...keys.map((key) => keyButton(view, key)));
  node.keys.replaceChildren(...keyboard.map(line));
}

function keyButton(view, key) {
  if (key.url !== undefined) {
    const safe = /^(https?|tg|mailto):/i.test(key.url);
    const link = make("a", { className: "key", data: { testid: "button", kind: "url" } }, key.text, sign("↗"));
    if (safe) Object.assign(link, { href: key.url }, AWAY);
    return link;
  }
  const node = make("button", { type: "button", className: "key", data: { testid: "button" } }, key.text);
  if (key.copy_text !== undefined) {
    node.dataset.kind = "copy";
    node.append(sign("", "copies"));
    node.onclick = tried(() => copy(key.copy_text));
  } else {
    Object.assign(node.dataset, { kind: "callback", action: key.data });
    node.onclick = tried(() => tap(view, key.data, node));
  }
  return node;
}

const sign = (text, look = "") => make("span", { className: `sign ${look}`, aria: { hidden: "true" } }, text);

// A busy button can be pressed again: people do that, and the bot has to cope.
async function tap(view, data, node) {
  node.taps = (node.taps ?? 0) + 1;
  node.setAttribute("aria-busy", "true");
  let over = false;
  const end = () => {
    if (over) return;
    over = true;
    node.taps -= 1;
    if (node.taps === 0) node.removeAttribute("aria-busy");
  };
  setTimeout(end, TAP_PATIENCE_MS);
  try {
    const { callback_query_id: id } = await call("POST", `${SIM}/taps`, {
      chat_id: state.chat,
      from: state.as.id,
      message_id: view.message_id,
      data,
    });
    if (answered.delete(id)) end();
    else waiting.set(id, end);
  } catch (wrong) {
    end();
    throw wrong;
  }
}

export function hearAnswer(answer) {
  const end = waiting.get(answer.callback_query_id);
  if (end) end();
  else answered.add(answer.callback_query_id);
  waiting.delete(answer.callback_query_id);
  if (!answer.text || answer.from !== state.as?.id) return;
  if (answer.show_alert) alertBox(answer.text);
  else toast(answer.text, "answer");
}

async function copy(text) {
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else {
    // Over plain http from another machine there is no clipboard API.
    const field = make("textarea", { value: text });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  toast(`Copied: ${text}`);
}
