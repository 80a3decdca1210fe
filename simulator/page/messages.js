// Messages of the open chat.

import { $, AWAY, COMMAND, SPOILER, TOGETHER_SECONDS, calendar, clock, moment, state } from "./state.js";
import { isGroup, make, tried, words } from "./basics.js";
import { drawKeys } from "./buttons.js";
import { send, startEdit, startReply } from "./composer.js";

export function drawChat() {
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
      // Move only what has to move: a moved video stops playing.
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
  node.preview.textContent = view.link_preview ? "The link preview is shown here." : "";
  drawFoot(node, view);
  drawKeys(node, view);
}

function dress(body) {
  for (const link of body.querySelectorAll("a[href]")) Object.assign(link, AWAY);
  for (const word of body.querySelectorAll(`${SPOILER}, ${COMMAND}`))
    Object.assign(word, { tabIndex: 0, role: "button" });
  // Long lines of code scroll, by keyboard too.
  for (const code of body.querySelectorAll("pre")) code.tabIndex = 0;
  // A block element ends its own line; the line break after it would show as an empty line.
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

export function timeOf(seconds) {
  const at = new Date(seconds * 1000);
  return make("time", { dateTime: at.toISOString(), title: moment.format(at) }, clock.format(at));
}

export function quote(id) {
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
  film.addEventListener("playing", () => tell("plays", "playing"));
  film.addEventListener("pause", () => tell("paused", `${video.duration} s`));
  film.addEventListener("ended", () => tell("ended", "ended"));
  film.addEventListener("error", () => tell("broken", "cannot be played here"));
  node.media.append(frame);
}

// Clicking a spoiler opens it; clicking a command sends it, as in messengers.
function tapWords(event) {
  if (event.type === "keydown" && event.key !== "Enter" && event.key !== " ") return;
  const word = event.target.closest(`${SPOILER}, ${COMMAND}`);
  if (!word) return;
  event.preventDefault();
  if (word.dataset.command) tried(send)(word.dataset.command);
  else word.classList.add("open");
}
