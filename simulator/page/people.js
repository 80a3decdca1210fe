// People and groups: the list, and the open chat.

import { $, FIRST_PEOPLE, SIM, state } from "./state.js";
import { call, isGroup, make, newest, paint, person, tried, words } from "./basics.js";
import { drawChat } from "./messages.js";
import { askedFor, drawContext, fitComposer } from "./composer.js";
import { hearHere, toEnd } from "./events.js";
import { drawBlock } from "./books.js";
import { closeDrawers } from "./drawers.js";

export async function readPeople() {
  state.people = (await call("GET", `${SIM}/people`)).people;
  if (state.people.length === 0) {
    for (const one of FIRST_PEOPLE) state.people.push(await call("POST", `${SIM}/people`, one));
  }
  const { chats } = await call("GET", `${SIM}/chats`);
  const before = state.chats;
  state.chats = new Map(state.people.map((one) => [one.chat_id, { chat: {}, last: null, unread: 0 }]));
  for (const { last_message: last, ...chat } of chats) state.chats.set(chat.id, { chat, last, unread: 0 });
  for (const [id, entry] of state.chats) entry.unread = before.get(id)?.unread ?? 0;
}

export function drawList() {
  const groups = [...state.chats].filter(([id]) => isGroup(id));
  settle(
    $("people"),
    state.people.map((one) => row(one.chat_id, "person", one.name, one.language_code, one)),
  );
  settle(
    $("groups"),
    groups.map(([id, { chat }]) => row(id, "group", chat.title, "group")),
  );
  $("no-groups").hidden = groups.length > 0;
  $("make-group").hidden = state.people.length < 2;
  $("unread-elsewhere").hidden = ![...state.chats.values()].some((one) => one.unread > 0);
}

// Rows that stay are not touched, so that clicks and focus survive every update.
function settle(list, rows) {
  if (rows.length !== list.children.length || rows.some((one, index) => list.children[index] !== one)) {
    list.replaceChildren(...rows);
  }
}

function row(chatId, kind, name, tag, as) {
  const node = state.rows.get(`${chatId} ${name}`) ?? blankRow(chatId, kind, name);
  const { last = null, unread = 0 } = state.chats.get(chatId) ?? {};
  node.button.onclick = tried(() => choose(chatId, as));
  node.last.textContent = last ? words(last) : "No messages yet";
  node.tag.textContent = tag;
  node.count.textContent = String(unread);
  node.count.hidden = unread === 0;
  if (chatId === state.chat) node.button.setAttribute("aria-current", "true");
  else node.button.removeAttribute("aria-current");
  return node;
}

function blankRow(chatId, kind, name) {
  const node = make("li");
  const face = make("span", { className: "face", aria: { hidden: "true" } });
  paint(face, name, chatId);
  node.last = make("span", { className: "last", dir: "auto" });
  node.tag = make("span", { className: "tag" });
  node.count = make("span", { className: "count", title: "unread" });
  node.button = make(
    "button",
    { type: "button", className: "row", data: { testid: `${kind}-${name.toLowerCase()}`, chatId } },
    face,
    make("span", { className: "about" }, make("span", { className: "name", dir: "auto" }, name), node.last),
    make("span", { className: "side-notes" }, node.tag, node.count),
  );
  node.append(node.button);
  state.rows.set(`${chatId} ${name}`, node);
  return node;
}

export async function choose(chatId, as) {
  await show(chatId, as);
  // On a phone, focusing the field would open the keyboard over the chat.
  $(matchMedia("(hover: hover)").matches ? "composer" : "log").focus();
}

export async function show(chatId, as = state.as) {
  if (state.chat !== null && !state.edit) state.drafts.set(state.chat, $("composer").value);
  Object.assign(state, { chat: chatId, as, reply: null, edit: null, views: new Map(), queue: [] });
  if (isGroup(chatId) && !speakers().includes(person(as.id))) state.as = speakers()[0] ?? as;
  state.nodes.clear();
  $("log").replaceChildren();
  $("composer").value = state.drafts.get(chatId) ?? "";
  $("action").textContent = "";
  keepPlace();
  drawHead();
  drawContext();
  fitComposer();
  drawList();
  drawBlock();
  closeDrawers();
  await readChat();
}

export async function readChat() {
  const chatId = state.chat;
  const log = $("log");
  // A screen reader does not read a newly opened chat from its first message; only new ones.
  log.setAttribute("aria-live", "off");
  state.queue ??= [];
  const { messages } = await call("GET", `${SIM}/chats/${chatId}`);
  if (chatId !== state.chat) return;
  state.views = new Map(messages.filter((view) => !view.deleted).map((view) => [view.message_id, view]));
  const entry = state.chats.get(chatId);
  if (entry) entry.unread = 0;
  const missed = state.queue ?? [];
  state.queue = null;
  drawChat();
  drawList();
  missed.forEach(hearHere);
  toEnd();
  askedFor(newest());
  setTimeout(() => log.setAttribute("aria-live", "polite"), 300);
}

function keepPlace() {
  const place = new URLSearchParams({ as: state.as.name.toLowerCase() });
  if (isGroup(state.chat)) place.set("chat", String(state.chat));
  history.replaceState(null, "", `?${place}`);
}

export function placeFromAddress() {
  const place = new URLSearchParams(location.search);
  const name = (place.get("as") ?? "").toLowerCase();
  const as = state.people.find((one) => one.name.toLowerCase() === name) ?? state.people[0];
  const group = Number(place.get("chat"));
  return { as, chatId: group && state.chats.has(group) ? group : as.chat_id };
}

export function drawHead() {
  const group = isGroup(state.chat);
  const title = group ? (state.chats.get(state.chat)?.chat.title ?? "Group") : "onetake";
  $("chat-face").className = group ? "face" : "mark";
  paint($("chat-face"), group ? title : " ", state.chat);
  $("chat-title").textContent = title;
  $("chat-about").textContent = group
    ? `${speakers()
        .map((one) => one.name)
        .join(", ")} and the bot`
    : `bot · you are ${state.as.name} (${state.as.language_code})`;
  $("empty-title").textContent = group ? "A group with the bot" : `${state.as.name} and the bot`;
  $("start").hidden = group;
  $("speaker").hidden = !group;
  $("speaker-choice").replaceChildren(
    ...speakers().map((one) => make("option", { value: one.id, selected: one.id === state.as.id }, one.name)),
  );
  document.title = `${group ? title : state.as.name} · onetake, simulated`;
}

function speakers() {
  const members = state.chats.get(state.chat)?.chat.members;
  return members ? state.people.filter((one) => members.some((member) => member.id === one.id)) : state.people;
}
