// The page's state: names, limits, and the one object that everything is drawn from.

export const SIM = "/_sim/telegram";
export const FIRST_PEOPLE = [
  { name: "Ana", language_code: "es" },
  { name: "Ben", language_code: "en" },
];
export const COMMANDS = [
  ["/start", "start, and see what this bot does"],
  ["/create", "make a video: say what it should show"],
  ["/videos", "watch your videos again"],
  ["/status", "your videos in progress"],
  ["/limits", "your remaining videos today, and the price"],
  ["/settings", "language, length, format"],
  ["/cancel", "cancel requests that are not ordered yet"],
  ["/help", "how this works"],
];
export const FAULTS = [
  {
    id: "lost-answer",
    label: "Lose the answer to the next order",
    what: "The video is made and charged, but the bot gets no answer.",
    body: { target: "create", kind: "made_then_drop" },
  },
  {
    id: "failed-render",
    label: "Fail the next render",
    what: "The order is accepted, but the video is never made.",
    body: { target: "render", kind: "fails" },
  },
  {
    id: "no-list",
    label: "Make the provider's list unavailable",
    what: "A lost answer stays in doubt until you clear this fault.",
    body: { target: "list", kind: "status", status: 503, always: true },
  },
  {
    id: "flood",
    label: "Flood wait, 5 seconds",
    what: "The messenger refuses the bot's next message.",
    body: { target: "telegram", kind: "flood", retry_after: 5, method: "sendMessage" },
  },
];
export const OUTCOMES = { created: "made", made_then_drop: "made, answer lost", made_then_timeout: "made, answer lost" };
export const ENTRIES_SHOWN = 20;
export const TAP_PATIENCE_MS = 10_000;
export const ACTION_MS = 5_000;
export const TOAST_MS = 6_000;
export const UNHEARD_MS = 4_000;
export const FAULTS_AGAIN_MS = 1_500;
export const TOGETHER_SECONDS = 300;
export const AWAY = { target: "_blank", rel: "noopener noreferrer" };
export const SPOILER = ".tg-spoiler";
export const COMMAND = "[data-command]";

export const $ = (id) => document.getElementById(id);
export const dollars = new Intl.NumberFormat("en-US", { style: "currency", currency: "USD", maximumFractionDigits: 4 });
export const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
export const calendar = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
export const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });

export const state = {
  people: [],
  chats: new Map(), // chat id -> {chat, last, unread}
  as: null, // the person who writes
  chat: null, // id of the open chat
  views: new Map(), // message id -> view, of the open chat
  nodes: new Map(), // message id -> element
  rows: new Map(), // chat id and name -> row in the list
  queue: null, // events that arrived while the chat was loading
  reply: null,
  edit: null,
  drafts: new Map(),
  option: -1, // the command selected by the arrow keys
};
