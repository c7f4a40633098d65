/** Messages to the person: a bar for those who see, a live region for those who listen. */

import { button, h } from "./dom";

const SHOWN_MS = 8000;
const live = h("div", { role: "status", "aria-live": "polite", class: "unseen" });
const bar = h("div", { class: "notices", role: "region", "aria-label": "Messages" });

export function mountNotices(): void {
  document.body.append(live, bar);
}

/** Says something to screen readers. */
export function announce(text: string): void {
  live.textContent = text;
}

/** Shows a message for some seconds; errors stay until they are closed. */
export function notice(text: string, kind: "note" | "error" = "note"): void {
  const close = button("×", () => box.remove(), { class: "quiet", "aria-label": "Close message" });
  const box = h("div", { class: `notice ${kind}` }, h("span", {}, text), close);
  if (kind === "error") box.setAttribute("role", "alert");
  else {
    announce(text);
    setTimeout(() => box.remove(), SHOWN_MS);
  }
  bar.append(box);
  while (bar.children.length > 3) bar.firstElementChild?.remove();
}

/** Runs something that may fail, and shows the reason. Returns null after a failure. */
export async function attempt<T>(work: Promise<T> | (() => Promise<T>)): Promise<T | null> {
  try {
    return await (typeof work === "function" ? work() : work);
  } catch (error) {
    notice(error instanceof Error ? error.message : String(error), "error");
    return null;
  }
}
