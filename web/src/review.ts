/** The review queue: one event after the other is accepted or rejected. */

import { author } from "./annotations";
import { api, videoUrl, type Fields, type ReviewItem } from "./api";
import { precisionChart } from "./chart";
import { button, clock, fill, h, plural } from "./dom";
import { labelSuggestions } from "./event_editor";
import { setBindings } from "./keyboard";
import { attempt, notice } from "./notices";
import { Player } from "./player";
import { state } from "./state";

const BATCH = 50;
// Seconds before and after an event that its loop plays as well.
const AROUND_S = 0.5;
const USUAL_PRECISION = 0.9;

interface Decision {
  item: ReviewItem;
  before: Fields;
}

export class Review {
  readonly element = h("div", { class: "review" });
  private readonly order = h("select", { "aria-label": "Order" },
    h("option", { value: "uncertain" }, "most uncertain first"),
    h("option", { value: "random" }, "at random"));
  private readonly label = h("select", { "aria-label": "Class" }, h("option", { value: "" }, "all classes"));
  private readonly card = h("section", { class: "card", "aria-label": "Event under review" });
  private readonly chart = h("section", { class: "precision", "aria-label": "Precision" });
  private readonly wanted = h("input", { type: "number", min: 0.5, max: 0.99, step: 0.01, value: USUAL_PRECISION, id: "wanted" });
  private queue: ReviewItem[] = [];
  /** Unreviewed events on the server; the queue has the first of them. */
  private total = 0;
  private readonly past: Decision[] = [];
  private readonly skipped = new Set<string>();
  private player: Player | null = null;

  constructor() {
    const labels = [...(state.info?.labels ?? [])].sort();
    this.label.append(...labels.map((each) => h("option", { value: each }, each)));
    for (const select of [this.order, this.label]) {
      select.addEventListener("change", () => void attempt(this.load()));
    }
    this.wanted.addEventListener("change", () => void attempt(this.drawCurve()));
    this.element.append(
      h("h1", {}, "Review"),
      h("p", { class: "muted" }, "Accept or reject what the model found. The answers give its precision at each score, and a threshold for the precision that you want."),
      h("div", { class: "row" }, this.order, this.label),
      h("div", { class: "split" }, this.card, this.chart),
      labelSuggestions(state.info?.all_labels ?? []));
    setBindings([
      { group: "Review", keys: ["a"], text: "Accept", run: () => this.decide({ status: "accepted" }) },
      { group: "Review", keys: ["r", "Delete"], text: "Reject", run: () => this.decide({ status: "rejected" }) },
      { group: "Review", keys: ["s", "j"], text: "Skip", run: () => this.skip() },
      { group: "Review", keys: [" "], text: "Play or pause", run: () => this.player?.toggle() },
      { group: "Review", keys: ["l"], text: "Type another label", run: () => this.element.querySelector<HTMLInputElement>("input.label")?.focus() },
      { group: "Review", keys: ["mod+z"], text: "Undo", run: () => void attempt(this.undo()) },
    ]);
    void attempt(this.load());
  }

  dispose(): void {
    this.player?.dispose();
  }

  private async load(): Promise<void> {
    const { events, total } = await api.review(this.order.value, this.label.value, BATCH);
    this.total = total;
    this.queue = events.filter((each) => !this.skipped.has(keyOf(each)));
    this.show();
    await this.drawCurve();
  }

  private show(): void {
    this.player?.dispose();
    this.player = null;
    const item = this.queue[0];
    const undo = button("Undo", () => void attempt(this.undo()), { title: "Ctrl+Z" });
    undo.disabled = this.past.length === 0;
    if (!item) {
      fill(this.card, h("p", {}, "Nothing is left to review here."), undo);
      return;
    }
    const start = Math.max(0, item.start - AROUND_S);
    const player = new Player(videoUrl(item.video, "/media") + `#t=${start}`, () => undefined);
    this.player = player;
    player.video.muted = false;
    player.setLoop({ start, end: item.end + AROUND_S });
    const label = h("input", { class: "label", list: "labels", value: item.label, "aria-label": "Label", autocomplete: "off" });
    label.addEventListener("change", () => {
      const text = label.value.trim();
      if (text && text !== item.label) this.decide({ status: "changed", label: text });
    });
    fill(this.card, player.video,
      h("h2", {}, item.label, h("span", { class: "muted" }, item.score === null ? "" : ` ${item.score.toFixed(2)}`)),
      h("p", { class: "muted" },
        h("a", { href: `#/videos/${item.video}?t=${item.start}` }, item.name),
        ` ${clock(item.start)} – ${clock(item.end)}`),
      h("div", { class: "row" },
        button("Accept", () => this.decide({ status: "accepted" }), { class: "good", title: "A" }),
        button("Reject", () => this.decide({ status: "rejected" }), { class: "bad", title: "R" }),
        button("Skip", () => this.skip(), { title: "S" }), undo),
      h("div", { class: "row" }, h("span", { class: "muted" }, "or another label"), label),
      h("p", { class: "muted" }, `${plural(this.total, "event")} to review`));
  }

  private decide(changes: Partial<Fields>): void {
    const item = this.queue.shift();
    if (!item) return;
    const { label, start, end, status } = item;
    const decision = { item, before: { label, start, end, status } };
    this.show();
    void attempt(async () => {
      await api.changeAnnotation(item.video, item.id, {
        ...decision.before, ...changes, ...(author() && { author: author() }) });
      this.past.push(decision);
      this.total--;
      if (!this.queue.length) await this.load();
      else {
        this.card.querySelector<HTMLButtonElement>("button[title='Ctrl+Z']")!.disabled = false;
        await this.drawCurve();
      }
    });
  }

  private skip(): void {
    const item = this.queue.shift();
    if (item) this.skipped.add(keyOf(item));
    this.show();
  }

  private async undo(): Promise<void> {
    const decision = this.past.pop();
    if (!decision) return;
    const { item, before } = decision;
    await api.changeAnnotation(item.video, item.id, before);
    this.queue.unshift(item);
    this.total++;
    this.show();
    await this.drawCurve();
  }

  /** The curve is that of the chosen class, or else of the class under review. */
  private async drawCurve(): Promise<void> {
    const label = this.label.value || this.queue[0]?.label || this.past.at(-1)?.item.label;
    if (!label) return fill(this.chart);
    const wanted = Number(this.wanted.value) || USUAL_PRECISION;
    const curve = await api.reviewCurve(label, wanted);
    const write = button("Write it into the model", () => void attempt(this.write(label, wanted)));
    write.disabled = curve.threshold === null;
    fill(this.chart,
      h("h2", {}, `Precision of ${label}`),
      h("p", { class: "muted" }, `${curve.accepted} of ${curve.reviewed} reviewed were accepted.`),
      curve.curve.length ? precisionChart(curve, wanted)
        : h("p", {}, "More answers are needed for a curve: some accepted and some rejected."),
      h("div", { class: "row" }, h("label", { for: "wanted" }, "Wanted precision"), this.wanted,
        h("span", {}, curve.threshold === null ? "No threshold reaches it yet." : `Threshold ${curve.threshold.toFixed(2)}`)),
      write);
  }

  private async write(label: string, wanted: number): Promise<void> {
    const { model, threshold } = await api.writeThreshold(label, wanted);
    notice(`${model} reports ${label} from a score of ${threshold.toFixed(2)}. Use it on the page Teach.`);
  }
}

const keyOf = (item: ReviewItem): string => `${item.video}/${item.id}`;
