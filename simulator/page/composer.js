// Composing: the field, replies, edits and commands.

import { $, COMMANDS, SIM, UNHEARD_MS, state } from "./state.js";
import { call, isGroup, make, person, toast, tried, words } from "./basics.js";
import { toEnd } from "./events.js";
import { drawBlock } from "./books.js";

let said = Promise.resolve();

// Two messages typed quickly arrive in the order they were typed.
function say(door, body) {
  said = said.catch(() => {}).then(() => call("POST", `${SIM}/${door}`, body));
  return said;
}

export async function send(text) {
  const { chat, as } = state;
  const body = { chat_id: chat, from: as.id, text };
  if (state.reply) body.reply_to = state.reply;
  const { update_id: update } = await say("messages", body);
  // Writing in private unblocks the bot.
  if (!isGroup(chat)) person(as.id).blocked = false;
  drawBlock();
  if (state.chat === chat) {
    state.reply = null;
    drawContext();
    toEnd();
  }
  if (update !== null) setTimeout(() => askWhetherHeard(update), UNHEARD_MS);
}

async function askWhetherHeard(update) {
  const { updates } = await call("GET", `${SIM}/updates`).catch(() => ({ updates: [] }));
  const mine = updates.find((one) => one.update_id === update);
  if (mine && mine.handed_out.length === 0) toast("No bot has fetched this message yet. Is one running?", "trouble");
}

export async function submit() {
  const field = $("composer");
  const text = field.value.trim();
  if (!text) return;
  const { edit, chat } = state;
  field.value = "";
  fitComposer();
  showCommands(false);
  try {
    if (edit) {
      await say("edits", { chat_id: chat, message_id: edit, text });
      state.edit = null;
      drawContext();
    } else await send(text);
  } catch (wrong) {
    if (state.chat === chat && !field.value) field.value = text;
    fitComposer();
    throw wrong;
  }
}

export function startReply(id) {
  Object.assign(state, { reply: id, edit: null });
  drawContext();
  $("composer").focus();
}

export function startEdit(id) {
  Object.assign(state, { edit: id, reply: null });
  drawContext();
  const field = $("composer");
  field.value = words(state.views.get(id));
  fitComposer();
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}

export function stopContext() {
  if (state.edit) $("composer").value = "";
  Object.assign(state, { edit: null, reply: null });
  drawContext();
  fitComposer();
  $("composer").focus();
}

export function drawContext() {
  const view = state.views.get(state.edit ?? state.reply);
  $("context").hidden = !view;
  $("context-title").textContent = view ? (state.edit ? "Editing" : `Reply to ${view.from.name}`) : "";
  $("context-text").textContent = view ? words(view) : "";
  $("composer").placeholder = view?.force_reply?.input_field_placeholder || "Message";
}

// The bot asks for an answer as a reply.
export function askedFor(view) {
  if (!view?.force_reply || !view.from.is_bot) return;
  const to = view.reply_to ? state.views.get(view.reply_to) : null;
  if (to && to.from.id !== state.as.id) return;
  startReply(view.message_id);
}

export function fitComposer() {
  const field = $("composer");
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight + 2, 160)}px`;
}

export function showCommands(open) {
  const typed = $("composer").value;
  const known = COMMANDS.filter(([name]) => name.startsWith(/^\/\w*$/.test(typed) ? typed.toLowerCase() : "/"));
  state.option = -1;
  $("commands").replaceChildren(
    ...known.map(([name, what], index) =>
      make(
        "li",
        { id: `command-${index}`, role: "option", onclick: () => take(name), data: { command: name } },
        make("strong", {}, name),
        make("span", {}, what),
      ),
    ),
  );
  $("commands").hidden = !open || known.length === 0;
  $("slash").setAttribute("aria-expanded", String(!$("commands").hidden));
  $("composer").removeAttribute("aria-activedescendant");
}

function take(name) {
  const field = $("composer");
  field.value = `${name} `;
  showCommands(false);
  fitComposer();
  field.focus();
}

function pointAt(step) {
  const options = [...$("commands").children];
  state.option = (state.option + step + options.length + (state.option < 0 && step < 0 ? 1 : 0)) % options.length;
  options.forEach((option, index) => option.setAttribute("aria-selected", String(index === state.option)));
  options[state.option].scrollIntoView({ block: "nearest" });
  $("composer").setAttribute("aria-activedescendant", options[state.option].id);
}

export function composerKey(event) {
  if (event.isComposing) return;
  const open = !$("commands").hidden;
  const option = open ? $("commands").children[state.option] : undefined;
  const does = {
    ArrowDown: open && (() => pointAt(1)),
    ArrowUp: open ? () => pointAt(-1) : !event.target.value && !state.edit && editLast,
    Tab: option && (() => take(option.dataset.command)),
    Escape: open ? () => showCommands(false) : (state.edit || state.reply) && stopContext,
    Enter: !event.shiftKey && (option ? () => take(option.dataset.command) : tried(submit)),
  }[event.key];
  if (!does) return;
  event.preventDefault();
  does();
}

function editLast() {
  const mine = [...state.views.values()].filter((view) => view.from.id === state.as.id);
  if (mine.length > 0) startEdit(Math.max(...mine.map((view) => view.message_id)));
}
