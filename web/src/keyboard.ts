/** Keys, and the dialog that lists them. */

import { button, h } from "./dom";

export interface Binding {
  /** Names as in KeyboardEvent.key; "mod+z" is Ctrl+Z, or Command+Z on a Mac. */
  keys: string[];
  /** Text instead of the keys in the list. */
  shown?: string;
  text: string;
  group: string;
  run: (event: KeyboardEvent) => void;
}

const KEY_NAMES: Record<string, string> = {
  " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓",
  Escape: "Esc", Delete: "Del", "mod+z": "Ctrl+Z", "mod+Z": "Ctrl+Shift+Z", "mod+y": "Ctrl+Y",
};
const TYPING = "input:not([type=checkbox]):not([type=radio]):not([type=range]), textarea, select, [contenteditable]";

const nameOf = (key: string): string => KEY_NAMES[key] ?? key.toUpperCase();

let current: Binding[] = [];
const always: Binding[] = [
  { keys: ["?"], text: "This help", group: "Page", run: () => showHelp() },
];

/** Replaces the keys of the present view. */
export function setBindings(bindings: Binding[]): void {
  current = bindings;
}

function handle(event: KeyboardEvent): void {
  const target = event.target as HTMLElement;
  if (event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  if (target.closest(TYPING)) {
    if (event.key === "Escape") target.blur();
    return;
  }
  // A focused button is pressed with these.
  if ((event.key === " " || event.key === "Enter") && target.closest("button, a, summary")) return;
  const mod = event.ctrlKey || event.metaKey;
  // With Caps Lock, letters are capital without Shift.
  const name = event.shiftKey || event.key.length > 1 ? event.key : event.key.toLowerCase();
  const key = mod ? `mod+${name}` : name;
  const found = [...current, ...always].find((each) => each.keys.includes(key));
  if (!found) return;
  event.preventDefault();
  found.run(event);
}

export function listenToKeys(): void {
  document.addEventListener("keydown", handle);
}

/** Opens the list of keys. */
export function showHelp(): void {
  const groups = Map.groupBy([...current, ...always], (each) => each.group);
  const columns = [...groups].map(([group, bindings]) =>
    h("section", {},
      h("h3", {}, group),
      h("dl", {}, ...bindings.flatMap((each) => [
        h("dt", {}, ...(each.shown ? [each.shown] : each.keys.map(nameOf)).map((key) => h("kbd", {}, key))),
        h("dd", {}, each.text),
      ])),
    ));
  openDialog("Keyboard", h("div", { class: "columns" }, ...columns));
}

/** Opens a modal dialog, which removes itself when it is closed. */
export function openDialog(title: string, ...content: Node[]): HTMLDialogElement {
  const close = button("Close", () => dialog.close());
  const dialog = h("dialog", { "aria-label": title },
    h("header", {}, h("h2", {}, title), close), ...content);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
