// The chat page: people and groups, one chat, and the provider's books beside it.
// Only `html` of a message is inserted as markup (the simulator escapes it); everything else is text.

import { $, SIM, state } from "./state.js";
import { call, isGroup, person, tried } from "./basics.js";
import { choose, readPeople, show } from "./people.js";
import { composerKey, fitComposer, send, showCommands, stopContext, submit } from "./composer.js";
import { atEnd, listen, noticeEnd, toEnd } from "./events.js";
import { block, drawArmed, drawFaults } from "./books.js";
import { closeDrawers, drawer, narrow } from "./drawers.js";

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
