/** The five best classes of one second: from sound alone, from the picture alone, from both. */

import { api, type LabelScore, type SecondScores } from "./api";
import { fill, h } from "./dom";
import type { ClassColours } from "./theme";

const WAIT_MS = 60;
const BEST = 5;

export class SecondPanel {
  readonly element = h("section", { class: "second", "aria-label": "Scores of one second" });
  private readonly known = new Map<number, SecondScores>();
  private second = -1;
  private timer = 0;

  constructor(
    private readonly video: string,
    private readonly seconds: number,
    private colours: ClassColours,
  ) {
    this.show(0);
  }

  setColours(colours: ClassColours): void {
    this.colours = colours;
    const found = this.known.get(this.second);
    if (found) this.draw(found);
  }

  show(second: number): void {
    second = Math.max(0, Math.min(this.seconds - 1, second));
    if (second === this.second) return;
    this.second = second;
    clearTimeout(this.timer);
    const found = this.known.get(second);
    if (found) this.draw(found);
    // A cursor that only passes asks for nothing.
    else this.timer = window.setTimeout(() => void this.fetch(second), WAIT_MS);
  }

  private async fetch(second: number): Promise<void> {
    try {
      this.known.set(second, await api.second(this.video, second));
    } catch (error) {
      if (second === this.second) fill(this.element, h("p", { class: "muted" }, (error as Error).message));
      return;
    }
    if (second === this.second) this.draw(this.known.get(second)!);
  }

  private draw({ start, end, label, both, audio, visual }: SecondScores): void {
    fill(
      this.element,
      h("h2", {}, h("span", { class: "muted" }, `${start}–${end} s `), label ?? "could not be decoded"),
      h("div", { class: "modalities" },
        this.column("Sound alone", audio), this.column("Picture alone", visual), this.column("Both", both)),
    );
  }

  private column(title: string, scores: LabelScore[]): HTMLElement {
    const rows = scores.slice(0, BEST).map(({ label, score }) => {
      const bar = h("i", { class: `bar c${this.colours.place(label)}` });
      bar.style.width = `${Math.round(Math.max(0, Math.min(1, score)) * 100)}%`;
      return h("li", {}, h("span", { class: "name", title: label }, label),
        h("span", { class: "value" }, score.toFixed(2)), bar);
    });
    const list = rows.length ? h("ol", {}, ...rows) : h("p", { class: "muted" }, "not available");
    return h("div", {}, h("h3", {}, title), list);
  }
}
