// Events from the simulator while the page is open.

import { $, ACTION_MS, SIM, state } from "./state.js";
import { person, tried } from "./basics.js";
import { drawHead, drawList, placeFromAddress, readChat, readPeople, show } from "./people.js";
import { drawChat, quote } from "./messages.js";
import { hearAnswer } from "./buttons.js";
import { askedFor, drawContext } from "./composer.js";
import { drawBlock, readBooks } from "./books.js";

let actionTimer;

function hear({ chat_id: chatId, view }) {
  const entry = state.chats.get(chatId);
  const last = entry?.last?.message_id ?? 0;
  if (!entry || (view.deleted && view.message_id === last)) tried(readPeople)().then(drawList);
  if (!entry) return;
  if (chatId !== state.chat && view.from.is_bot && !view.deleted && view.message_id > last) entry.unread += 1;
  if (!view.deleted && view.message_id >= last) entry.last = view;
  drawList();
  if (chatId !== state.chat) return;
  if (state.queue) state.queue.push(view);
  else hearHere(view);
}

export function hearHere(view) {
  const wasAtEnd = atEnd;
  const id = view.message_id;
  const isNew = !view.deleted && !state.views.has(id);
  if (view.deleted) {
    state.views.delete(id);
    if (state.reply === id || state.edit === id) Object.assign(state, { reply: null, edit: null });
    drawContext();
  } else state.views.set(id, view);
  drawChat();
  for (const node of state.nodes.values()) if (node.view.reply_to === id) node.quote.replaceChildren(quote(id));
  if (isNew && view.from.is_bot) $("action").textContent = "";
  if (wasAtEnd || (isNew && view.from.id === state.as.id)) toEnd();
  else if (isNew) $("to-end").hidden = false;
  if (isNew) askedFor(view);
}

function hearAction({ chat_id: chatId, action }) {
  if (chatId !== state.chat) return;
  const doing = { typing: "is typing", upload_video: "is sending a video", record_video: "is making a video" };
  $("action").textContent = `onetake ${doing[action] ?? action.replaceAll("_", " ")}…`;
  clearTimeout(actionTimer);
  actionTimer = setTimeout(() => ($("action").textContent = ""), ACTION_MS);
}

export let atEnd = true;

// Checked on every scroll and stored: after the window shrinks, the old position can no longer be read.
export function noticeEnd() {
  const log = $("log");
  atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  if (atEnd) $("to-end").hidden = true;
}

export function toEnd() {
  atEnd = true;
  $("log").scrollTop = $("log").scrollHeight;
  $("to-end").hidden = true;
}

export function listen() {
  const source = new EventSource(`${SIM}/events`);
  const on = (name, deed) => source.addEventListener(name, (event) => deed(JSON.parse(event.data)));
  on("message", hear);
  on("answer", hearAnswer);
  on("action", hearAction);
  on("books", () => tried(readBooks)());
  source.onopen = () => catchUp().catch(lost);
  source.onerror = () => {
    source.close();
    lost();
  };
  let ended = false;
  function lost() {
    if (ended) return;
    ended = true;
    source.close();
    $("gone").textContent = "The simulator is not responding. Retrying…";
    $("gone").hidden = false;
    setTimeout(listen, 1_000);
  }
}

// Open the stream first and load everything after, so that no event is missed in between.
async function catchUp() {
  state.queue ??= [];
  await readPeople();
  const known = state.as && person(state.as.id)?.name === state.as.name && state.chats.has(state.chat);
  if (known) {
    drawHead();
    await readChat();
  } else {
    const { as, chatId } = placeFromAddress();
    await show(chatId, as);
  }
  await readBooks();
  drawBlock();
  $("gone").hidden = true;
}
