// In a narrow window, both sides become drawers.

import { $ } from "./state.js";

export const narrow = { list: matchMedia("(max-width: 759px)"), books: matchMedia("(max-width: 1099px)") };

export function drawer(id, open) {
  const hidden = narrow[id].matches && !open;
  $(id).inert = hidden;
  $(id).classList.toggle("open", open);
  $(`open-${id}`).setAttribute("aria-expanded", String(open));
  const covered = Object.keys(narrow).some((one) => narrow[one].matches && $(one).classList.contains("open"));
  document.querySelector("main").inert = covered;
  $("shade").hidden = !covered;
}

export function closeDrawers() {
  for (const id of Object.keys(narrow)) drawer(id, false);
}
