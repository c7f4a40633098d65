/** Seconds of all videos that are like one second. */

import { api, videoUrl, type Match } from "./api";
import { button, clock, fill, h } from "./dom";
import { setBindings } from "./keyboard";
import { attempt } from "./notices";
import { Player } from "./player";
import { state } from "./state";

const MATCHES = 24;

export class Search {
  readonly element = h("div", { class: "search" });
  private readonly results = h("div", { class: "cards" });
  private readonly players: Player[] = [];

  constructor(video: string | undefined, second: number) {
    setBindings([]);
    this.element.append(h("h1", {}, "Search by example"));
    if (!video) {
      this.element.append(h("p", {}, "Open a video, select an event or a second, and press “More like this” (key M)."));
      return;
    }
    const name = state.videos.get(video)?.name ?? "a removed video";
    this.element.append(
      h("p", { class: "muted" }, "Seconds that sound and look like ",
        h("a", { href: `#/videos/${video}?t=${second}` }, `${name}, ${clock(second, 0)}`)),
      this.results);
    fill(this.results, h("p", { class: "muted" }, "Searching…"));
    void attempt(this.load(video, second));
  }

  dispose(): void {
    for (const player of this.players) player.dispose();
  }

  private async load(video: string, second: number): Promise<void> {
    const matches = await api.search(video, second, MATCHES);
    fill(this.results, ...matches.map((match) => this.card(match)),
      matches.length ? null : h("p", {}, "No other second was found. Add more videos."));
  }

  private card(match: Match): HTMLElement {
    const player = new Player(`${videoUrl(match.video, "/media")}#t=${match.start}`, () => undefined);
    player.video.controls = false;
    player.video.setAttribute("aria-label", `${match.name} at ${clock(match.start, 0)}`);
    this.players.push(player);
    const play = button("▶", () => {
      const playing = !player.video.paused;
      for (const other of this.players) other.video.pause();
      if (!playing) player.setLoop({ start: match.start, end: match.end });
    }, { class: "play", "aria-label": `Play ${match.name} at ${clock(match.start, 0)}` });
    for (const name of ["play", "pause"]) {
      player.video.addEventListener(name, () => { play.textContent = player.video.paused ? "▶" : "❚❚"; });
    }
    return h("article", { class: "card" },
      h("div", { class: "snippet" }, player.video, play),
      h("p", {}, h("strong", {}, match.label ?? ""), h("span", { class: "muted" }, ` ${match.similarity.toFixed(2)}`)),
      h("p", { class: "muted" }, h("a", { href: `#/videos/${match.video}?t=${match.start}` }, match.name), ` ${clock(match.start, 0)}`));
  }
}
