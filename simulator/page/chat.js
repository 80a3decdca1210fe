// The chat page: people and groups, one chat, and the provider's books beside it.
// Only `html` of a message enters the page as markup (the simulator made it by escaping); all else is text.

const SIM = "/_sim/telegram";
const FIRST_PEOPLE = [
  { name: "Ana", language_code: "es" },
  { name: "Ben", language_code: "en" },
];
const COMMANDS = [
  ["/start", "begin, and what this bot does"],
  ["/create", "a video: say what it should show"],
  ["/videos", "the videos you have"],
  ["/status", "what is being made"],
  ["/limits", "what is left for today"],
  ["/settings", "language, length, format"],
  ["/cancel", "stop what was not ordered yet"],
  ["/help", "how it works"],
];
const FAULTS = [
  {
    id: "lost-answer",
    label: "Lose the answer of the next purchase",
    what: "The video is made and charged; the bot is never told.",
    body: { target: "create", kind: "made_then_drop" },
  },
  {
    id: "failed-render",
    label: "Let the next render fail",
    what: "Ordered and begun, but no video comes of it.",
    body: { target: "render", kind: "fails" },
  },
  {
    id: "no-list",
    label: "Take the provider's list away",
    what: "A lost answer stays in doubt, until this is called off.",
    body: { target: "list", kind: "status", status: 503, always: true },
  },
  {
    id: "flood",
    label: "Flood wait, 5 seconds",
    what: "The messenger refuses the bot's next message.",
    body: { target: "telegram", kind: "flood", retry_after: 5, method: "sendMessage" },
  },
];
const OUTCOMES = { created: "made", made_then_drop: "made, answer lost", made_then_timeout: "made, answer lost" };
const ENTRIES_SHOWN = 20;
const TAP_PATIENCE_MS = 10_000;
const ACTION_MS = 5_000;
const TOAST_MS = 6_000;
const UNHEARD_MS = 4_000;
const FAULTS_AGAIN_MS = 1_500;
const TOGETHER_SECONDS = 300;
const AWAY = { target: "_blank", rel: "noopener noreferrer" };
const SPOILER = ".tg-spoiler";
const COMMAND = "[data-command]";

const $ = (id) => document.getElementById(id);
const dollars = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", maximumFractionDigits: 4 });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const calendar = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

const state = {
  people: [],
  chats: new Map(), // chat id -> {chat, last, unread}
  as: null, // the person who writes
  chat: null, // id of the chat shown
  views: new Map(), // message id -> view, of the chat shown
  nodes: new Map(), // message id -> element
  rows: new Map(), // chat id and name -> row in the list
  queue: null, // events that came while the chat was being read
  reply: null,
  edit: null,
  drafts: new Map(),
  option: -1, // the command the arrows point at
};

// --- small things ---------------------------------------------------------------------------------------------------

function make(tag, properties = {}, ...children) {
  const { data, aria, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

async function call(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: body ? { "Content-Type": "application/json" } : {},
      body: body ? JSON.stringify(body) : undefined,
    });
  } catch {
    throw new Error("The simulator does not answer.");
  }
  const text = await answer.text();
  if (answer.ok) return JSON.parse(text);
  let told = text;
  try {
    const { error, description } = JSON.parse(text);
    told = description ?? error?.message ?? text;
  } catch {
    // plain text is told as it is
  }
  throw new Error(told || `The simulator answered ${answer.status}.`);
}

// Whatever a person does may fail; it is told, never swallowed.
const tried =
  (deed) =>
  async (...values) => {
    try {
      return await deed(...values);
    } catch (wrong) {
      toast(wrong.message, "trouble");
      return undefined;
    }
  };

function toast(text, kind = "note") {
  const node = make("div", { className: "toast", textContent: text, dir: "auto", data: { testid: "toast", kind } });
  $("toasts").append(node);
  setTimeout(() => node.remove(), TOAST_MS);
}

// Two taps on one button bring the same words twice; they are read once.
function alertBox(text) {
  const open = [...document.querySelectorAll("dialog p")];
  if (open.some((one) => one.textContent === text)) return;
  const box = make(
    "dialog",
    { className: "alert", data: { testid: "toast", kind: "alert" }, aria: { label: "The bot says" } },
    make("p", { textContent: text, dir: "auto" }),
    make("button", { type: "button", className: "strong", textContent: "OK", onclick: () => box.close() }),
  );
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

const person = (id) => state.people.find((one) => one.id === id);
const isGroup = (id) => id < 0;
const words = (view) => view.text || view.caption || (view.video ? "Video" : "");
const newest = () => state.views.get(Math.max(...state.views.keys()));

function paint(element, name, id) {
  element.textContent = [...name][0]?.toUpperCase() ?? "?";
  element.style.setProperty("--hue", String((Math.abs(id) * 67) % 360));
}

// --- people and groups ----------------------------------------------------------------------------------------------

async function readPeople() {
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

function drawList() {
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

// Rows that stay are not touched: a click or a focus on them outlives every update.
function settle(list, rows) {
  if (rows.length !== list.children.length || rows.some((one, index) => list.children[index] !== one)) {
    list.replaceChildren(...rows);
  }
}

function row(chatId, kind, name, tag, as) {
  const node = state.rows.get(`${chatId} ${name}`) ?? blankRow(chatId, kind, name);
  const { last = null, unread = 0 } = state.chats.get(chatId) ?? {};
  node.button.onclick = tried(() => choose(chatId, as));
  node.last.textContent = last ? words(last) : "Nothing said yet";
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

async function choose(chatId, as) {
  await show(chatId, as);
  // On a phone the field would bring the keyboard over the chat that was just opened.
  $(matchMedia("(hover: hover)").matches ? "composer" : "log").focus();
}

async function show(chatId, as = state.as) {
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

async function readChat() {
  const chatId = state.chat;
  const log = $("log");
  // A chat that is opened is not read out from its first message on; only what comes later is.
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

function placeFromAddress() {
  const place = new URLSearchParams(location.search);
  const name = (place.get("as") ?? "").toLowerCase();
  const as = state.people.find((one) => one.name.toLowerCase() === name) ?? state.people[0];
  const group = Number(place.get("chat"));
  return { as, chatId: group && state.chats.has(group) ? group : as.chat_id };
}

function drawHead() {
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

// --- messages -------------------------------------------------------------------------------------------------------

function drawChat() {
  const log = $("log");
  const views = [...state.views.values()].sort((one, other) => one.message_id - other.message_id);
  for (const [id, node] of state.nodes) {
    if (state.views.has(id)) continue;
    node.day?.remove();
    node.remove();
    state.nodes.delete(id);
  }
  let above = null;
  let before = null;
  for (const view of views) {
    const node = state.nodes.get(view.message_id) ?? blank(view);
    if (node.view !== view) fill(node, view);
    const newDay = !before || day(before) !== day(view);
    const together = !newDay && before.from.id === view.from.id && view.date - before.date < TOGETHER_SECONDS;
    node.classList.toggle("follows", together);
    if (newDay) node.day ??= make("p", { className: "day" }, day(view));
    else {
      node.day?.remove();
      node.day = null;
    }
    for (const part of [node.day, node]) {
      if (!part) continue;
      // Only what must move is moved: a video that is moved stops playing.
      const next = above ? above.nextElementSibling : log.firstElementChild;
      if (next !== part) log.insertBefore(part, next);
      above = part;
    }
    before = view;
  }
  $("empty").hidden = views.length > 0;
}

const day = (view) => calendar.format(view.date * 1000);

function blank(view) {
  const data = { testid: "message", messageId: view.message_id };
  const node = make("article", { className: "message", tabIndex: -1, data });
  const parts = ["name", "quote", "media", "body", "preview", "foot"];
  for (const part of parts) node[part] = make("div", { className: part });
  node.body.dir = "auto";
  for (const kind of ["click", "keydown"]) node.body.addEventListener(kind, tapWords);
  node.keys = make("div", { className: "keys", role: "group", ariaLabel: "Buttons" });
  const tools = make("div", { className: "tools" });
  tools.append(
    tool("Reply", "↩", () => startReply(view.message_id)),
    tool("Edit", "✎", () => startEdit(view.message_id)),
  );
  const bubble = make("div", { className: "bubble" }, ...parts.map((part) => node[part]));
  node.append(make("div", { className: "stack" }, bubble, node.keys), tools);
  state.nodes.set(view.message_id, node);
  return node;
}

const tool = (label, sign, onclick) =>
  make("button", { type: "button", className: "icon", title: label, onclick, aria: { label } }, sign);

function fill(node, view) {
  node.view = view;
  node.dataset.from = view.from.is_bot ? "bot" : "person";
  node.classList.toggle("mine", view.from.id === state.as.id);
  node.setAttribute("aria-label", `${view.from.name}, ${clock.format(view.date * 1000)}`);
  node.name.textContent = isGroup(state.chat) ? view.from.name : "";
  node.name.style.setProperty("--hue", String((Math.abs(view.from.id) * 67) % 360));
  node.quote.replaceChildren(...(view.reply_to ? [quote(view.reply_to)] : []));
  drawVideo(node, view.video);
  node.body.innerHTML = view.html ?? "";
  dress(node.body);
  node.preview.textContent = view.link_preview ? "A preview of the link is shown here." : "";
  drawFoot(node, view);
  drawKeys(node, view);
}

function dress(body) {
  for (const link of body.querySelectorAll("a[href]")) Object.assign(link, AWAY);
  for (const word of body.querySelectorAll(`${SPOILER}, ${COMMAND}`))
    Object.assign(word, { tabIndex: 0, role: "button" });
  // Long lines of code scroll, by keyboard too.
  for (const code of body.querySelectorAll("pre")) code.tabIndex = 0;
  // A block ends its line by itself; the line break after it would show as an empty line.
  for (const { nextSibling: next } of body.querySelectorAll("blockquote, pre")) {
    if (next?.nodeType === Node.TEXT_NODE) next.data = next.data.replace(/^\n/, "");
  }
}

function drawFoot(node, view) {
  node.foot.replaceChildren(timeOf(view.date));
  if (view.reactions) node.foot.prepend(make("span", { className: "reactions" }, view.reactions.join(" ")));
  if (!view.edit_date) return;
  const title = `${view.edits ?? 1} × edited, last ${moment.format(view.edit_date * 1000)}`;
  node.foot.prepend(make("span", { className: "edited", title }, "edited"));
}

function timeOf(seconds) {
  const at = new Date(seconds * 1000);
  return make("time", { dateTime: at.toISOString(), title: moment.format(at) }, clock.format(at));
}

function quote(id) {
  const view = state.views.get(id);
  return make(
    "button",
    { type: "button", className: "quoted", onclick: () => jump(id), disabled: !view, data: { replyTo: id } },
    make("strong", {}, view ? view.from.name : "Deleted message"),
    make("span", { dir: "auto" }, view ? words(view) : ""),
  );
}

function jump(id) {
  const node = state.nodes.get(id);
  if (!node) return;
  node.scrollIntoView({ block: "center" });
  node.focus({ preventScroll: true });
  node.classList.remove("found");
  requestAnimationFrame(() => node.classList.add("found"));
}

function drawVideo(node, video) {
  if ((node.media.dataset.url ?? "") === (video?.url ?? "")) return;
  node.media.dataset.url = video?.url ?? "";
  node.media.replaceChildren();
  if (!video) return;
  const film = make("video", {
    controls: true,
    playsInline: true,
    preload: "metadata",
    width: video.width,
    height: video.height,
    src: video.url,
    data: { testid: "video" },
    aria: { label: `Video, ${video.duration} seconds` },
  });
  const note = make("span", { className: "note" });
  const frame = make("figure", {}, film, note);
  frame.style.setProperty("--ratio", String((video.width || 9) / (video.height || 16)));
  const tell = (what, text) => {
    frame.dataset.state = film.dataset.state = what;
    note.textContent = text;
  };
  tell("ready", `${video.duration} s`);
  film.addEventListener("playing", () => tell("plays", "plays"));
  film.addEventListener("pause", () => tell("paused", `${video.duration} s`));
  film.addEventListener("ended", () => tell("ended", "seen"));
  film.addEventListener("error", () => tell("broken", "cannot be played here"));
  node.media.append(frame);
}

// A spoiler opens; a command in a message is sent, as messengers do.
function tapWords(event) {
  if (event.type === "keydown" && event.key !== "Enter" && event.key !== " ") return;
  const word = event.target.closest(`${SPOILER}, ${COMMAND}`);
  if (!word) return;
  event.preventDefault();
  if (word.dataset.command) tried(send)(word.dataset.command);
  else word.classList.add("open");
}

// --- buttons under messages -----------------------------------------------------------------------------------------

const waiting = new Map(); // callback query id -> end of its wait
const answered = new Set(); // answers that came before the tap's own answer

function drawKeys(node, view) {
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

// A busy button can be tapped again: people do, and the bot has to bear it.
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

function hearAnswer(answer) {
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

// --- writing --------------------------------------------------------------------------------------------------------

let said = Promise.resolve();

// Two messages typed quickly arrive in the order they were typed.
function say(door, body) {
  said = said.catch(() => {}).then(() => call("POST", `${SIM}/${door}`, body));
  return said;
}

async function send(text) {
  const { chat, as } = state;
  const body = { chat_id: chat, from: as.id, text };
  if (state.reply) body.reply_to = state.reply;
  const { update_id: update } = await say("messages", body);
  // Who writes in private lets the bot in again.
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

async function submit() {
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

function startReply(id) {
  Object.assign(state, { reply: id, edit: null });
  drawContext();
  $("composer").focus();
}

function startEdit(id) {
  Object.assign(state, { edit: id, reply: null });
  drawContext();
  const field = $("composer");
  field.value = words(state.views.get(id));
  fitComposer();
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}

function stopContext() {
  if (state.edit) $("composer").value = "";
  Object.assign(state, { edit: null, reply: null });
  drawContext();
  fitComposer();
  $("composer").focus();
}

function drawContext() {
  const view = state.views.get(state.edit ?? state.reply);
  $("context").hidden = !view;
  $("context-title").textContent = view ? (state.edit ? "Editing" : `Reply to ${view.from.name}`) : "";
  $("context-text").textContent = view ? words(view) : "";
  $("composer").placeholder = view?.force_reply?.input_field_placeholder || "Message";
}

// A question of the bot that wants its answer as a reply.
function askedFor(view) {
  if (!view?.force_reply || !view.from.is_bot) return;
  const to = view.reply_to ? state.views.get(view.reply_to) : null;
  if (to && to.from.id !== state.as.id) return;
  startReply(view.message_id);
}

function fitComposer() {
  const field = $("composer");
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight + 2, 160)}px`;
}

function showCommands(open) {
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

function composerKey(event) {
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

// --- what the simulator tells ---------------------------------------------------------------------------------------

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

function hearHere(view) {
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

let atEnd = true;

// Asked on every scroll and kept: when the window shrinks the place is lost before anybody can ask.
function noticeEnd() {
  const log = $("log");
  atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  if (atEnd) $("to-end").hidden = true;
}

function toEnd() {
  atEnd = true;
  $("log").scrollTop = $("log").scrollHeight;
  $("to-end").hidden = true;
}

function listen() {
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
    $("gone").textContent = "The simulator does not answer. Trying again…";
    $("gone").hidden = false;
    setTimeout(listen, 1_000);
  }
}

// The stream is open first and everything is read after, so nothing falls between the two.
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

// --- the books and the trouble --------------------------------------------------------------------------------------

async function readBooks() {
  const { creates, totals } = await call("GET", "/_sim/books");
  $("paid-calls").textContent = String(totals.paid_calls);
  $("requests").textContent = String(totals.creates);
  $("charged").textContent = $("chip-charged").textContent = dollars.format(totals.charged_microusd / 1e6);
  $("entries").replaceChildren(...creates.slice(-ENTRIES_SHOWN).reverse().map(entryRow));
  $("no-entries").hidden = creates.length > 0;
  await readFaults();
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
    make("p", { className: "hint" }, size, ordered ? ` · ${create.job_id}` : ""),
  );
}

function drawFaults() {
  const what = "The bot is handed the same update once more.";
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

function drawArmed({ armed }) {
  for (const { id, body } of FAULTS) {
    const times = armed
      .filter((fault) => fault.target === body.target && fault.kind === body.kind)
      .reduce((sum, fault) => sum + (fault.times ?? Infinity), 0);
    const mark = document.querySelector(`[data-testid="trouble-${id}"] .armed`);
    mark.hidden = times === 0;
    mark.textContent = times > 1 ? `armed × ${times === Infinity ? "∞" : times}` : "armed";
  }
  $("calm").hidden = armed.length === 0;
  // What is armed is met without a word: asked again for as long as something waits.
  clearTimeout(faultTimer);
  if (armed.length > 0) faultTimer = setTimeout(() => readFaults().catch(() => {}), FAULTS_AGAIN_MS);
}

async function redeliver() {
  const { updates } = await call("GET", `${SIM}/updates`);
  const last = updates.filter((one) => one.chat_id === state.chat).at(-1);
  if (!last) throw new Error("Nothing was sent to the bot from this chat yet.");
  await call("POST", `${SIM}/redeliver`, { update_id: last.update_id });
  toast(`Update ${last.update_id} (${last.kind.replaceAll("_", " ")}) is handed out again.`);
}

function drawBlock() {
  $("block-who").textContent = state.as?.name ?? "";
  $("block").checked = Boolean(person(state.as?.id)?.blocked);
}

async function block() {
  const { as } = state;
  const blocked = $("block").checked;
  try {
    await call("POST", `${SIM}/block`, { user: as.id, blocked });
    Object.assign(person(as.id), { blocked });
  } finally {
    drawBlock();
  }
}

// --- drawers of a narrow window -------------------------------------------------------------------------------------

const narrow = { list: matchMedia("(max-width: 759px)"), books: matchMedia("(max-width: 1099px)") };

function drawer(id, open) {
  const hidden = narrow[id].matches && !open;
  $(id).inert = hidden;
  $(id).classList.toggle("open", open);
  $(`open-${id}`).setAttribute("aria-expanded", String(open));
  const covered = Object.keys(narrow).some((one) => narrow[one].matches && $(one).classList.contains("open"));
  document.querySelector("main").inert = covered;
  $("shade").hidden = !covered;
}

function closeDrawers() {
  for (const id of Object.keys(narrow)) drawer(id, false);
}

// --- beginning ------------------------------------------------------------------------------------------------------

for (const [id, query] of Object.entries(narrow)) {
  query.addEventListener("change", closeDrawers);
  $(`open-${id}`).onclick = () => {
    drawer(id, true);
    $(id).querySelector(".close").focus();
  };
  document.querySelector(`[data-close="${id}"]`).onclick = () => {
    drawer(id, false);
    $(`open-${id}`).focus();
  };
}
closeDrawers();
drawFaults();
$("shade").onclick = closeDrawers;
document.addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && !$("shade").hidden && document.querySelector(".side.open");
  if (!open) return;
  closeDrawers();
  $(`open-${open.id}`).focus();
});

$("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  tried(submit)();
});
$("composer").addEventListener("keydown", composerKey);
$("composer").addEventListener("input", (event) => {
  fitComposer();
  showCommands(/^\/\w*$/.test(event.target.value));
});
$("composer").addEventListener("blur", () => setTimeout(() => showCommands(false), 150));
$("slash").onclick = () => {
  const open = $("commands").hidden;
  $("composer").focus();
  showCommands(open);
};
$("context-close").onclick = stopContext;
$("to-end").onclick = toEnd;
$("log").addEventListener("scroll", noticeEnd);
new ResizeObserver(() => atEnd && toEnd()).observe($("log"));
$("start").onclick = tried(() => send("/start"));
$("example").onclick = () => {
  $("composer").value = $("example").textContent;
  fitComposer();
  $("composer").focus();
};
$("speaker-choice").onchange = (event) => tried(show)(state.chat, person(Number(event.target.value)));
$("add-person").addEventListener("submit", (event) => {
  event.preventDefault();
  tried(addPerson)(event.target);
});
$("make-group").onclick = tried(async () => {
  const number = [...state.chats.keys()].filter(isGroup).length + 1;
  const title = number === 1 ? "Everyone" : `Everyone ${number}`;
  const members = state.people.map((one) => one.id);
  const { chat_id: chatId } = await call("POST", `${SIM}/groups`, { title, members });
  await readPeople();
  await choose(chatId);
});
$("block").onchange = tried(block);
$("calm").onclick = tried(async () => drawArmed(await call("DELETE", "/_sim/faults")));

async function addPerson(form) {
  const name = form.elements.name.value.trim();
  if (!name) return;
  const added = await call("POST", `${SIM}/people`, { name, language_code: form.elements.language.value });
  form.reset();
  await readPeople();
  await choose(added.chat_id, person(added.id));
}

listen();
