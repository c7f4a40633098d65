/** The page that trains the next model from the corrections, and changes between models. */

import { api, type Job, type ModelVersion, type TrainingResult } from "./api";
import { button, fill, h, plural } from "./dom";
import { setBindings } from "./keyboard";
import { attempt, notice } from "./notices";
import { state } from "./state";

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
const points = (share: number): string => `${share >= 0 ? "+" : "−"}${Math.abs(share * 100).toFixed(1)}`;

export class Teach {
  readonly element = h("div", { class: "teach" });
  private readonly training = h("section", { class: "card", "aria-label": "Training" });
  private readonly models = h("section", { "aria-label": "Models" });
  private readonly stop: () => void;
  private shown = "";

  constructor() {
    setBindings([]);
    this.element.append(h("h1", {}, "Teach"),
      h("p", { class: "muted" }, "Trains the next model from all corrections: accepted and changed events, new classes, and background. A new class needs about ten events. The present model stays until you use another."),
      this.training, h("h2", {}, "Models"), this.models);
    this.stop = state.subscribe(() => this.update());
    this.update();
    void attempt(this.loadModels());
  }

  dispose(): void {
    this.stop();
  }

  private lastJob(): Job | undefined {
    return [...state.jobs.values()].filter((job) => job.kind === "train")
      .sort((a, b) => (a.created < b.created ? -1 : 1)).at(-1);
  }

  private update(): void {
    const job = this.lastJob();
    const corrected = [...state.videos.values()].filter((video) => video.corrected).length;
    const shown = JSON.stringify([job, corrected, state.info?.teachable]);
    if (shown === this.shown) return;
    this.shown = shown;
    const active = job?.state === "queued" || job?.state === "running";
    const train = button("Train from the corrections", () => void attempt(this.train()), { class: "primary train" });
    train.disabled = active || !state.info?.teachable;
    fill(this.training,
      h("p", {}, corrected ? `${plural(corrected, "video")} with corrections.` : "No corrections yet."),
      state.info && !state.info.teachable ? h("p", { class: "muted" }, "This server cannot train with the present model.") : null,
      h("div", { class: "row" }, train,
        active ? button("Cancel", () => void attempt(api.cancelJob(job.id)), { class: "cancel" }) : null),
      job ? this.progress(job) : null);
    if (job?.state === "done") void attempt(this.loadModels());
  }

  private progress(job: Job): HTMLElement {
    if (job.state === "done" && job.result) return this.outcome(job.result);
    if (job.state === "failed") return h("p", { class: "reason" }, job.error ?? "Training failed.");
    if (job.state === "cancelled") return h("p", { class: "muted" }, "Training was cancelled.");
    const bar = h("progress", { max: 1, "aria-label": "Training" });
    const share = state.share(job);
    if (share !== null) bar.value = share;
    return h("div", {}, bar, h("span", { class: "muted" }, job.message ?? (job.state === "queued" ? "queued" : "training")));
  }

  private outcome(result: TrainingResult): HTMLElement {
    const { present, next, difference, held_out: heldOut } = result;
    const use = button(`Use ${result.model}`, () => void attempt(this.use(result.model)), { class: "primary use" });
    use.disabled = state.info?.model === result.model;
    const rows = next ? h("table", {},
      h("thead", {}, h("tr", {}, h("th", {}, "On held-out corrections"), h("th", {}, "accuracy"))),
      h("tbody", {},
        h("tr", {}, h("th", {}, "present model"), h("td", {}, present ? percent(present.accuracy) : "–")),
        h("tr", {}, h("th", {}, result.model), h("td", {}, percent(next.accuracy))),
        difference ? h("tr", {}, h("th", {}, "difference, 95 % interval"),
          h("td", {}, `${points(difference.mean)} (${points(difference.low)} to ${points(difference.high)}) points`)) : null))
      : h("p", {}, "There are too few corrections to hold some out, so the accuracy is not measured.");
    return h("div", { class: "outcome" },
      h("p", {}, `${result.model} was trained from ${plural(result.corrections, "correction")} of ${result.classes.join(", ")}`
        + `${heldOut ? ` and compared on ${plural(heldOut.stretches, "held-out stretch", "held-out stretches")} of ${heldOut.seconds} seconds` : ""}.`),
      rows, use);
  }

  private async train(): Promise<void> {
    const { job } = await api.train();
    const queued = await api.job(job);
    // What the event stream has brought meanwhile is newer.
    if (!state.jobs.has(job)) state.setJob(queued);
  }

  private async use(name: string): Promise<void> {
    for (const each of this.element.querySelectorAll("button")) each.disabled = true;
    notice(`The server changes to ${name}.`);
    try {
      await api.useModel(name);
      notice(`${name} is in use. Videos without corrections are labelled again.`);
    } finally {
      await this.loadModels();
      await state.refreshInfo();
      this.shown = "";
      this.update();
    }
  }

  private async loadModels(): Promise<void> {
    const models = await api.models();
    fill(this.models, h("ul", { class: "plain models" }, ...models.map((model) => this.model(model))));
  }

  private model(model: ModelVersion): HTMLElement {
    return h("li", { "aria-current": model.active ? "true" : undefined },
      h("strong", {}, model.name),
      h("span", { class: "muted" }, [
        plural(model.labels.length, "class", "classes"),
        model.created ? new Date(model.created).toLocaleString("en-GB", { dateStyle: "short", timeStyle: "short" }) : "",
        model.note,
      ].filter(Boolean).join(" · ")),
      model.active ? h("span", { class: "tag" }, "in use")
        : button("Use", () => void attempt(this.use(model.name)), { "aria-label": `Use ${model.name}` }));
  }
}
