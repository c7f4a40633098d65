/** The selected event: label, boundaries, and what can be done with it. */

import type { Annotation } from "./api";
import { button, clock, fill, h } from "./dom";
import { eventText } from "./timeline_drawing";

export interface EditorActions {
  relabel: (label: string) => void;
  move: (start: number, end: number) => void;
  accept: () => void;
  reject: () => void;
  background: () => void;
  loop: () => void;
  similar: () => void;
}

/** All labels for the suggestions of label inputs. */
export function labelSuggestions(labels: Iterable<string>): HTMLDataListElement {
  return h("datalist", { id: "labels" }, ...[...labels].map((label) => h("option", { value: label })));
}

export class EventEditor {
  readonly element = h("section", { class: "editor", "aria-label": "Selected event" });
  readonly label = h("input", {
    list: "labels", autocomplete: "off", maxlength: 200, class: "label", "aria-label": "Label",
  });
  private readonly start = h("input", { type: "number", step: 0.01, min: 0, "aria-label": "Start in seconds" });
  private readonly end = h("input", { type: "number", step: 0.01, min: 0, "aria-label": "End in seconds" });
  private readonly summary = h("span", { class: "muted summary" });
  private readonly chips = h("div", { class: "chips", role: "group", "aria-label": "Labels by number" });
  private readonly fields: HTMLFieldSetElement;
  private event: Annotation | null = null;
  private shown = "";

  constructor(private readonly actions: EditorActions) {
    const move = () => {
      const [start, end] = [Number(this.start.value), Number(this.end.value)];
      if (end > start && start >= 0) actions.move(start, end);
      else this.show(this.event);
    };
    this.label.addEventListener("change", () => {
      const label = this.label.value.trim();
      if (label) actions.relabel(label);
      else this.show(this.event);
    });
    this.label.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.label.blur();
    });
    this.start.addEventListener("change", move);
    this.end.addEventListener("change", move);
    this.fields = h("fieldset", {},
      h("div", { class: "row" }, this.label,
        h("span", { class: "times" }, this.start, "–", this.end, " s"), this.summary),
      h("div", { class: "row" },
        button("Accept", actions.accept, { class: "good", title: "A" }),
        button("Reject", actions.reject, { class: "bad", title: "R" }),
        button("Background", actions.background, { title: "B" }),
        button("Loop", actions.loop, { title: "E" }),
        button("More like this", actions.similar, { title: "M" })),
    );
    this.element.append(this.fields, this.chips);
    this.show(null);
  }

  /** Labels that keys 1 to 9 give. */
  setNumbered(labels: string[]): void {
    fill(this.chips, ...labels.map((label, i) =>
      button(label, () => this.actions.relabel(label), { title: `Key ${i + 1}`, "data-key": i + 1, disabled: !this.event })));
  }

  show(event: Annotation | null): void {
    const same = event === this.event;
    this.event = event;
    const shown = JSON.stringify(event);
    if (shown === this.shown && event) return;
    this.shown = shown;
    this.fields.disabled = !event;
    this.chips.classList.toggle("off", !event);
    for (const chip of this.chips.querySelectorAll("button")) chip.disabled = !event;
    const values: [HTMLInputElement, string][] = [
      [this.label, event ? event.label || event.predicted || "" : ""],
      [this.start, event ? String(event.start) : ""],
      [this.end, event ? String(event.end) : ""],
    ];
    for (const [input, value] of values) {
      // Not while a person types: an answer of the server may come in between.
      if (!same || document.activeElement !== input) input.value = value;
    }
    this.label.placeholder = event ? "Label" : "No event selected";
    this.summary.textContent = event ? describe(event) : "";
  }
}

function describe(event: Annotation): string {
  const parts: string[] = [event.status];
  if (event.score !== null) parts.push(`score ${event.score.toFixed(2)}`);
  if (event.author) parts.push(`by ${event.author}`);
  if (event.time) parts.push(new Date(event.time).toLocaleString("en-GB", { dateStyle: "short", timeStyle: "short" }));
  return parts.join(" · ");
}

const ROW_HEIGHT = 28;
const ROWS_AROUND = 4;

/** The events as a list, of which only the rows in view are elements. */
export class EventList {
  private readonly rows = h("div", { class: "rows", role: "presentation" });
  readonly element = h("div", {
    class: "events", role: "listbox", tabindex: 0, "aria-label": "Events",
  }, this.rows);
  private events: Annotation[] = [];
  private selected: Annotation | null = null;

  constructor(onSelect: (event: Annotation) => void, private readonly place: (label: string) => number) {
    this.element.addEventListener("scroll", () => this.draw());
    this.element.addEventListener("click", (click) => {
      const row = (click.target as HTMLElement).closest<HTMLElement>("[data-index]");
      const event = row && this.events[Number(row.dataset["index"])];
      if (event) onSelect(event);
    });
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  show(events: Annotation[], selected: Annotation | null): void {
    this.events = events;
    if (selected && selected !== this.selected) this.reveal(events.indexOf(selected));
    this.selected = selected;
    this.draw();
  }

  private reveal(index: number): void {
    const { scrollTop, clientHeight } = this.element;
    const top = index * ROW_HEIGHT;
    // The rows have to be as high as the new place before it can be scrolled to.
    this.rows.style.height = `${this.events.length * ROW_HEIGHT}px`;
    if (top < scrollTop || top + ROW_HEIGHT > scrollTop + clientHeight) {
      this.element.scrollTop = top - clientHeight / 2;
    }
  }

  private draw(): void {
    this.rows.style.height = `${this.events.length * ROW_HEIGHT}px`;
    const { scrollTop, clientHeight } = this.element;
    const from = Math.max(0, Math.floor(scrollTop / ROW_HEIGHT) - ROWS_AROUND);
    const to = Math.min(this.events.length, Math.ceil((scrollTop + clientHeight) / ROW_HEIGHT) + ROWS_AROUND);
    const rows = this.events.slice(from, to).map((event, i) => this.row(event, from + i));
    fill(this.rows, ...rows);
    const index = this.selected ? this.events.indexOf(this.selected) : -1;
    if (index >= from && index < to) this.element.setAttribute("aria-activedescendant", `event-${index}`);
    else this.element.removeAttribute("aria-activedescendant");
  }

  private row(event: Annotation, index: number): HTMLElement {
    const row = h("div", {
      class: `event ${event.status}`, role: "option", id: `event-${index}`, "data-index": index,
      "aria-selected": String(event === this.selected),
      "aria-posinset": index + 1, "aria-setsize": this.events.length,
    },
      h("i", { class: `swatch c${this.place(event.label || event.predicted || "")}` }),
      h("span", { class: "time" }, `${clock(event.start)} – ${clock(event.end)}`),
      h("span", { class: "name" }, eventText(event)),
      h("span", { class: "value" }, event.score === null ? "" : event.score.toFixed(2)));
    row.style.top = `${index * ROW_HEIGHT}px`;
    return row;
  }
}
