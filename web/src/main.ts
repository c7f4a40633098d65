/** Start of the page, and the view that the address names. */

import { fill, h } from "./dom";
import { listenToKeys, setBindings } from "./keyboard";
import { askForToken } from "./login";
import { mountNotices } from "./notices";
import { Review } from "./review";
import { Search } from "./search";
import { state } from "./state";
import { Teach } from "./teach";
import { acceptDrops } from "./uploads";
import { VideoList } from "./video_list";
import { Watch } from "./watch";

interface View {
  element: HTMLElement;
  dispose?: () => void;
}

const TABS = [["#/", "Videos"], ["#/review", "Review"], ["#/teach", "Teach"], ["#/search", "Search"]] as const;

const content = h("main", { tabindex: -1 });
const sidebar = new VideoList();
const links = TABS.map(([href, text]) => h("a", { href }, text));
const facts = h("span", { class: "muted facts" });
const offline = h("p", { class: "offline", role: "alert", hidden: true }, "No connection to the server. Trying again…");
let view: View | null = null;
let address = "";

function welcome(): View {
  setBindings([]);
  const text = state.videos.size
    ? "Choose a video to see what was heard and what was seen in it."
    : "Drop videos anywhere on this page. They are labelled on this server; nothing leaves it.";
  return { element: h("div", { class: "welcome" }, h("h1", {}, "Videos"), h("p", {}, text)) };
}

/** The view of the present address, or null while it cannot be shown. */
function open(name: string | undefined, parts: string[], time: number): View | null {
  switch (name) {
    case "videos": {
      const video = state.videos.get(parts[0] ?? "");
      if (!video) return { element: h("p", {}, "This video is not on the server. ", h("a", { href: "#/" }, "All videos")) };
      if (video.status === "queued" || video.status === "running") return null;
      return new Watch(video, time);
    }
    case "review":
      return new Review();
    case "teach":
      return new Teach();
    case "search":
      return new Search(parts[0], Number(parts[1]) || 0);
    default:
      return welcome();
  }
}

function route(): void {
  if (!state.loaded) return;
  const [path = "", query] = location.hash.slice(2).split("?");
  const [name, ...parts] = path.split("/");
  // A list that fills, or a video whose labelling ends, changes what its address shows.
  const now = `${location.hash} ${name ? state.videos.get(parts[0] ?? "")?.status : state.videos.size > 0}`;
  if (now === address) return;
  address = now;
  view?.dispose?.();
  view = open(name || undefined, parts, Number(new URLSearchParams(query).get("t")) || 0);
  fill(content, view?.element ?? h("p", { class: "muted" }, "This video is being labelled…"));
  document.title = `${content.querySelector("h1")?.textContent ?? "Videos"} – avel`;
  document.body.dataset["view"] = name || "list";
  links.forEach((link, i) => {
    const current = TABS[i]![0] === (name === "videos" || !name ? "#/" : `#/${name}`);
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  });
  sidebar.setCurrent(name === "videos" ? (parts[0] ?? null) : null);
  scrollTo(0, 0);
}

function update(): void {
  offline.hidden = state.connected || !state.loaded;
  const { info } = state;
  facts.textContent = !info ? "" : info.ready ? `model ${info.model}` : (info.problem ?? "The model is loading…");
  route();
}

document.body.append(
  h("header", { class: "page" }, h("a", { href: "#/", class: "brand" }, "avel"),
    h("nav", { "aria-label": "Pages" }, ...links), facts),
  offline, h("div", { class: "frame" }, sidebar.element, content));
mountNotices();
askForToken();
listenToKeys();
acceptDrops();
state.subscribe(update);
addEventListener("hashchange", route);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") state.refresh();
});
state.connect();
