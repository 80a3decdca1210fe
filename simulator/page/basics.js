// Elements, calls to the simulator, and how failures are shown.

import { $, TOAST_MS, state } from "./state.js";

export function make(tag, properties = {}, ...children) {
  const { data, aria, ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

export async function call(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: body ? { "Content-Type": "application/json" } : {},
      body: body ? JSON.stringify(body) : undefined,
    });
  } catch {
    throw new Error("The simulator is not responding.");
  }
  const text = await answer.text();
  if (answer.ok) return JSON.parse(text);
  let told = text;
  try {
    const { error, description } = JSON.parse(text);
    told = description ?? error?.message ?? text;
  } catch {
    // plain text is shown as it is
  }
  throw new Error(told || `The simulator answered ${answer.status}.`);
}

// Any action may fail; show the error instead of swallowing it.
export const tried =
  (deed) =>
  async (...values) => {
    try {
      return await deed(...values);
    } catch (wrong) {
      toast(wrong.message, "trouble");
      return undefined;
    }
  };

export function toast(text, kind = "note") {
  const node = make("div", { className: "toast", textContent: text, dir: "auto", data: { testid: "toast", kind } });
  $("toasts").append(node);
  setTimeout(() => node.remove(), TOAST_MS);
}

// Two presses of one button bring the same text twice; announce it once.
export function alertBox(text) {
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

export const person = (id) => state.people.find((one) => one.id === id);
export const isGroup = (id) => id < 0;
export const words = (view) => view.text || view.caption || (view.video ? "Video" : "");
export const newest = () => state.views.get(Math.max(...state.views.keys()));

export function paint(element, name, id) {
  element.textContent = [...name][0]?.toUpperCase() ?? "?";
  element.style.setProperty("--hue", String((Math.abs(id) * 67) % 360));
}
