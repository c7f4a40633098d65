/** The view of one video: player, timeline, the scores of a second, and corrections. */

import { author, Annotations, setAuthor } from "./annotations";
import { api, videoUrl, type Annotation, type Scores, type Video } from "./api";
import { button, clock, fill, h } from "./dom";
import { showDownloads } from "./downloads";
import { EventEditor, EventList, labelSuggestions } from "./event_editor";
import { setBindings, showHelp } from "./keyboard";
import { attempt, notice } from "./notices";
import { Peaks } from "./peaks";
import { Player } from "./player";
import { SecondPanel } from "./second_panel";
import { state } from "./state";
import { ClassColours } from "./theme";
import { Timeline } from "./timeline";
import { round } from "./timeline_pointer";
import { watchKeys } from "./watch_keys";

const WAVEFORM_PAIRS_PER_SECOND = 50;
const SHORTEST_EVENT_S = 0.05;
const NUMBERED = 9;

export class Watch {
  readonly element = h("div", { class: "watch" });
  readonly player: Player;
  readonly timeline: Timeline;
  readonly annotations: Annotations;
  readonly editor: EventEditor;
  private readonly panel: SecondPanel;
  private readonly list: EventList;
  private colours = new ClassColours([]);
  private scores: Scores = { labels: [], valid: [], scores: [] };
  private readonly suggestions = labelSuggestions([]);
  private readonly tools = h("div", { class: "tools", role: "toolbar", "aria-label": "Playback and editing" });
  private readonly speed = h("output", {}, "1×");
  private playButton = button("Play", () => this.player.toggle(), { class: "play-pause", title: "Space" });
  private readonly now = h("span", { class: "now" }, clock(0));
  private undoButton = button("Undo", () => this.annotations.undo());
  private redoButton = button("Redo", () => this.annotations.redo());
  private loopButton = button("Loop", () => this.toggleLoop(), { "aria-pressed": "false" });
  /** Labels of the keys 1 to 9. */
  private numbered: string[] = [];
  private inPoint: number | null = null;

  constructor(readonly video: Video, start: number) {
    const duration = Math.max(0.1, video.duration ?? video.seconds ?? 1);
    this.annotations = new Annotations(video.id, () => this.changed());
    this.player = new Player(videoUrl(video.id, "/media"), (time, playing) => this.onTime(time, playing));
    this.timeline = new Timeline(video.id, duration, this.annotations, this.colours, {
      seek: (time) => this.player.seek(time),
      select: (event) => this.select(event),
      moved: (event, before) => this.annotations.change(
        event, { start: event.start, end: event.end }, "move", before),
      drawn: (from, to) => this.add(from, to),
      hover: (second) => this.panel.show(second ?? Math.floor(this.player.video.currentTime)),
    });
    this.panel = new SecondPanel(video.id, Math.ceil(duration), this.colours);
    this.editor = new EventEditor({
      relabel: (label) => this.relabel(label),
      move: (from, to) => this.move(from, to),
      accept: () => this.decide("accepted"),
      reject: () => this.decide("rejected"),
      background: () => this.decide("background"),
      loop: () => this.toggleLoop(),
      similar: () => this.searchSimilar(),
    });
    this.list = new EventList((event) => this.select(event), (label) => this.colours.place(label));
    this.build();
    if (start) this.player.video.currentTime = start;
    setBindings(watchKeys(this));
    void attempt(this.load());
  }

  dispose(): void {
    this.player.dispose();
    this.timeline.dispose();
  }

  select(event: Annotation | null): void {
    this.annotations.select(event);
    if (!event) return;
    this.timeline.view.show(event.start, event.end);
    if (this.player.loop) this.player.setLoop(event);
    else this.player.seek(event.start);
  }

  step(direction: 1 | -1): void {
    const event = this.annotations.neighbour(direction, this.player.video.currentTime);
    if (event) this.select(event);
  }

  relabel(label: string): void {
    const event = this.annotations.selected;
    if (!event) return;
    if (!this.numbered.includes(label)) {
      this.numbered.splice(Math.min(NUMBERED - 1, this.numbered.length), 1, label);
      this.colours.add(label);
    }
    this.annotations.change(event, { label }, "relabel");
  }

  relabelByNumber(number: number): void {
    const label = this.numbered[number - 1];
    if (label) this.relabel(label);
  }

  decide(status: "accepted" | "rejected" | "background"): void {
    const event = this.annotations.selected;
    if (!event) return;
    const label = event.label || event.predicted || "";
    if (status === "rejected") this.annotations.remove(event);
    else if (status === "background") this.annotations.change(event, { label: "", status }, "mark as background");
    else this.annotations.change(event, { label, status }, "accept");
    const next = this.annotations.nextUnreviewed();
    if (next) this.select(next);
  }

  /** Moves a boundary of the selected event by frames. */
  nudge(edge: "start" | "end", frames: number): void {
    const event = this.annotations.selected;
    if (!event) return;
    const time = event[edge] + frames * this.player.frame;
    if (edge === "start") this.move(time, event.end);
    else this.move(event.start, time);
  }

  move(start: number, end: number): void {
    const event = this.annotations.selected;
    if (!event) return;
    start = round(Math.max(0, Math.min(start, end - SHORTEST_EVENT_S)));
    end = round(Math.min(this.timeline.view.duration, Math.max(end, start + SHORTEST_EVENT_S)));
    this.annotations.change(event, { start, end }, "move");
  }

  /** The first press begins an event at the playhead, and the second ends it there. */
  mark(): void {
    const time = round(this.player.video.currentTime);
    if (this.inPoint === null || time <= this.inPoint) {
      this.inPoint = time;
      notice(`A new event begins at ${clock(time)}. Press I again where it ends.`);
    } else {
      this.add(this.inPoint, time);
      this.inPoint = null;
    }
  }

  toggleLoop(): void {
    this.player.setLoop(this.player.loop ? null : this.annotations.selected);
    this.loopButton.setAttribute("aria-pressed", String(this.player.loop !== null));
  }

  changeSpeed(step: number): void {
    const speed = this.player.changeSpeed(step);
    this.speed.textContent = `${speed}×`;
  }

  zoom(factor: number): void {
    const { view } = this.timeline;
    const at = view.x(this.player.video.currentTime);
    view.zoom(factor, at >= 0 && at <= view.width ? at : view.width / 2);
    this.timeline.redraw();
  }

  fit(): void {
    this.timeline.view.fit();
    this.timeline.redraw();
  }

  searchSimilar(): void {
    const event = this.annotations.selected;
    const time = event ? (event.start + event.end) / 2 : this.player.video.currentTime;
    location.hash = `#/search/${this.video.id}/${Math.floor(time)}`;
  }

  private add(start: number, end: number): void {
    if (end - start < SHORTEST_EVENT_S) return;
    const before = this.annotations.selected?.label ?? "";
    const best = this.numbered[0] ?? "new class";
    this.annotations.add(before || best, start, end);
    this.editor.label.focus();
    this.editor.label.select();
  }

  /** Labels by frequency in this video, then by their scores, then those of the model. */
  private orderedLabels(): string[] {
    const counts = new Map<string, number>();
    for (const { label } of this.annotations.events) {
      if (label) counts.set(label, (counts.get(label) ?? 0) + 1);
    }
    const frequent = [...counts].sort((a, b) => b[1] - a[1]).map(([label]) => label);
    return [...new Set([...frequent, ...this.scores.labels, ...(state.info?.labels ?? [])])];
  }

  private async load(): Promise<void> {
    const { id } = this.video;
    await this.annotations.load();
    this.arrangeLabels();
    // What only shows may fail alone.
    const [scores, waveform] = await Promise.all([attempt(api.scores(id)), attempt(api.waveform(id))]);
    if (scores) {
      this.scores = scores;
      this.timeline.valid = scores.valid;
      this.timeline.curves = scores.labels.map((label, i) => (
        { label, peaks: Peaks.ofCurve(scores.scores[i] ?? [], 1) }));
      this.arrangeLabels();
    }
    if (waveform) this.timeline.waveform = new Peaks(Float32Array.from(waveform), WAVEFORM_PAIRS_PER_SECOND);
    this.timeline.redraw();
  }

  /** Colours and numbers are given once, so that they stay while a person edits. */
  private arrangeLabels(): void {
    const labels = this.orderedLabels();
    this.numbered = labels.slice(0, NUMBERED);
    this.colours = new ClassColours(labels);
    this.timeline.setColours(this.colours);
    this.panel.setColours(this.colours);
    fill(this.suggestions, ...[...new Set([...labels, ...(state.info?.all_labels ?? [])])]
      .map((label) => h("option", { value: label })));
    this.changed();
  }

  private onTime(time: number, playing: boolean): void {
    this.now.textContent = clock(time);
    this.playButton.textContent = playing ? "Pause" : "Play";
    this.timeline.setTime(time, playing);
    if (this.timeline.hovered === null) this.panel.show(Math.floor(time));
  }

  private changed(): void {
    const { annotations } = this;
    this.timeline.redraw();
    this.editor.show(annotations.selected);
    this.editor.setNumbered(this.numbered);
    this.list.show(annotations.events, annotations.selected);
    for (const [each, text, name] of [
      [this.undoButton, annotations.canUndo, "Undo"], [this.redoButton, annotations.canRedo, "Redo"],
    ] as const) {
      each.disabled = text === null;
      each.title = text ? `${name}: ${text}` : `Nothing to ${name.toLowerCase()}`;
    }
  }

  private build(): void {
    const name = h("input", { value: author(), placeholder: "Your name", "aria-label": "Your name, kept with corrections", class: "author" });
    name.addEventListener("change", () => setAuthor(name.value));
    this.tools.append(
      this.playButton, this.now,
      h("span", { class: "group" },
        button("‹ Event", () => this.step(-1), { title: "K" }), button("Event ›", () => this.step(1), { title: "J" })),
      this.loopButton,
      h("span", { class: "group" },
        button("‹", () => this.changeSpeed(-1), { "aria-label": "Slower", title: "Slower: <" }), this.speed,
        button("›", () => this.changeSpeed(1), { "aria-label": "Faster", title: "Faster: >" })),
      h("span", { class: "group" },
        button("−", () => this.zoom(0.5), { "aria-label": "Zoom out", title: "Zoom out: -" }), h("span", { class: "cell" }, "Zoom"),
        button("+", () => this.zoom(2), { "aria-label": "Zoom in", title: "Zoom in: +" }),
        button("Fit", () => this.fit(), { title: "F" })),
      button("Mark", () => this.mark(), { title: "Begin or end a new event at the playhead: I" }),
      h("span", { class: "group" }, this.undoButton, this.redoButton),
    );
    this.element.append(
      h("div", { class: "title" },
        h("a", { href: "#/", class: "back" }, "‹ Videos"), h("h1", {}, this.video.name), name,
        button("Download", () => showDownloads(this.video.id, true)),
        button("Keys", showHelp, { title: "?" })),
      this.video.reason ? h("p", { class: "reason" }, this.video.reason) : "",
      h("div", { class: "stage" }, this.player.video, this.panel.element),
      this.tools, this.timeline.element, this.editor.element, this.suggestions, this.list.element,
    );
    this.player.video.setAttribute("aria-label", this.video.name);
  }
}
