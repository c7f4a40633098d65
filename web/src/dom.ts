/** Elements and text. Text from users enters the page through text nodes only. */

type Listener = (event: never) => void;
type Attributes = Record<string, string | number | boolean | Listener | undefined>;
export type Child = Node | string | false | null | undefined;

/**
 * Creates an element.
 *
 * A function under `onclick` listens to `click`; `true` sets an empty attribute, and `false` and
 * `undefined` set none. There is no `style`: the Content-Security-Policy forbids it.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), value as EventListener);
    } else if (value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...children.filter((child): child is Node | string => !!child));
  return element;
}

/** Replaces the children of an element. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren(...children.filter((child): child is Node | string => !!child));
}

/** A button with a text, and a tooltip with its key. */
export function button(
  text: string,
  onclick: () => void,
  attributes: Attributes = {},
): HTMLButtonElement {
  return h("button", { type: "button", onclick, ...attributes }, text);
}

/** A media or list time such as 1:02:03.4. */
export function clock(seconds: number, digits = 1): string {
  const scale = 10 ** digits;
  const ticks = Math.round(Math.max(0, seconds) * scale);
  const whole = Math.floor(ticks / scale);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const head = hours ? `${hours}:${String(minutes).padStart(2, "0")}` : String(minutes);
  const fraction = digits ? `.${String(ticks % scale).padStart(digits, "0")}` : "";
  return `${head}:${String(whole % 60).padStart(2, "0")}${fraction}`;
}

/** A file size such as 12.3 MB. */
export function bytes(count: number): string {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]] as const) {
    if (count >= size) return `${(count / size).toFixed(1)} ${unit}`;
  }
  return `${count} bytes`;
}

/** "1 event", "2 events". */
export function plural(count: number, noun: string, nouns = `${noun}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? noun : nouns}`;
}
