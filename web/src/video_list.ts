/** The sidebar: add videos, and the list of those that are there or on their way. */

import { api, type Video } from "./api";
import { button, bytes, clock, fill, h, plural } from "./dom";
import { openDialog } from "./keyboard";
import { attempt, notice } from "./notices";
import { state } from "./state";
import { uploads, type Upload } from "./uploads";

const STATUS: Record<Video["status"], string> = {
  queued: "queued", running: "labelling", ok: "", partial: "partial",
  quarantined: "quarantined", failed: "failed", cancelled: "cancelled",
};

export class VideoList {
  readonly element = h("aside", { class: "sidebar", "aria-label": "Videos" });
  private readonly list = h("ul", { class: "videos plain" });
  private readonly empty = h("p", { class: "muted" }, "No videos yet.");
  /** Rows are changed in place, so that focus stays where it is. */
  private readonly rows = new Map<Video | Upload | string, { element: HTMLElement; shown: string }>();

  constructor() {
    const input = h("input", { type: "file", multiple: true, accept: "video/*", class: "unseen", "aria-label": "Video files", tabindex: -1 });
    input.addEventListener("change", () => {
      uploads.add(input.files ?? []);
      input.value = "";
    });
    this.element.append(
      h("div", { class: "drop" },
        h("p", {}, "Drop videos here"),
        button("Choose files", () => input.click(), { class: "primary" }), " ",
        button("From folder", () => void attempt(openFolder())), input),
      this.empty, this.list);
    state.subscribe(() => this.update());
    this.update();
  }

  /** Marks the video that is being watched. */
  setCurrent(id: string | null): void {
    for (const link of this.list.querySelectorAll("a")) {
      if (link.getAttribute("href") === `#/videos/${id}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  private update(): void {
    const order: HTMLElement[] = [];
    const keep = new Set<Video | Upload | string>();
    for (const item of uploads.items) {
      keep.add(item);
      order.push(this.row(item, JSON.stringify([item.share, item.error, item.note]), () => uploadRow(item)));
    }
    const videos = [...state.videos.values()].sort((a, b) => (a.created < b.created ? 1 : -1));
    for (const video of videos) {
      keep.add(video.id);
      const job = state.jobs.get(video.job ?? "");
      order.push(this.row(video.id, JSON.stringify([video, job]), () => videoRow(video)));
    }
    for (const key of this.rows.keys()) if (!keep.has(key)) this.rows.delete(key);
    order.forEach((element, i) => {
      if (this.list.children[i] !== element) this.list.insertBefore(element, this.list.children[i] ?? null);
    });
    while (this.list.children.length > order.length) this.list.lastElementChild!.remove();
    this.empty.hidden = order.length > 0 || !state.loaded;
    this.setCurrent(location.hash.split("/")[2]?.split("?")[0] ?? null);
  }

  private row(key: Video | Upload | string, shown: string, content: () => Node[]): HTMLElement {
    const row = this.rows.get(key) ?? { element: h("li"), shown: "" };
    this.rows.set(key, row);
    if (row.shown !== shown) {
      // The focused control of this row is found again by its class.
      const focused = row.element.contains(document.activeElement) ? document.activeElement!.className : null;
      fill(row.element, ...content());
      if (focused) row.element.querySelector<HTMLElement>(`[class="${focused}"]`)?.focus();
      row.shown = shown;
    }
    return row.element;
  }
}

function progress(label: string, share: number | null): HTMLProgressElement {
  const element = h("progress", { max: 1, "aria-label": label });
  if (share !== null) element.value = share;
  return element;
}

function uploadRow(item: Upload): Node[] {
  const name = item.file.name;
  const close = button("×", () => item.cancel(), { class: "quiet remove", "aria-label": `Cancel the upload of ${name}`, title: "Cancel" });
  const head = h("div", { class: "head" }, h("span", { class: "name", title: name }, name), close);
  if (item.error) {
    return [head, h("p", { class: "reason" }, item.error), button("Retry", () => uploads.retry(item), { class: "retry" })];
  }
  const share = Math.round(item.share * 100);
  return [head, progress(`Upload of ${name}`, item.share),
    h("span", { class: "muted" }, item.note ?? `uploading ${share} % of ${bytes(item.file.size)}`)];
}

function videoRow(video: Video): Node[] {
  const job = state.jobs.get(video.job ?? "");
  const active = video.status === "queued" || video.status === "running";
  const watchable = video.status === "ok" || video.status === "partial";
  const name = watchable
    ? h("a", { class: "name", href: `#/videos/${video.id}`, title: video.name }, video.name)
    : h("span", { class: "name", title: video.name }, video.name);
  const remove = active
    ? button("×", () => void attempt(cancel(video)), { class: "quiet remove", "aria-label": `Cancel ${video.name}`, title: "Cancel" })
    : button("×", () => void attempt(discard(video)), { class: "quiet remove", "aria-label": `Remove ${video.name}`, title: "Remove" });
  const parts = [STATUS[video.status]];
  if (video.duration) parts.push(clock(video.duration, 0));
  if (watchable) parts.push(plural(video.events, "event"));
  if (video.corrected) parts.push("corrected");
  const nodes: Node[] = [h("div", { class: "head" }, name, remove)];
  if (active) {
    nodes.push(progress(`Labelling of ${video.name}`, video.status === "running" && job ? state.share(job) : 0));
    if (job?.total && video.status === "running") parts[0] = `labelling ${Math.floor(job.done)} of ${Math.ceil(job.total)} s`;
  }
  nodes.push(h("span", { class: `muted status ${video.status}` }, parts.filter(Boolean).join(" · ")));
  if (video.reason && !watchable) nodes.push(h("p", { class: "reason" }, video.reason));
  return nodes;
}

async function cancel(video: Video): Promise<void> {
  if (video.job) await api.cancelJob(video.job);
}

async function discard(video: Video): Promise<void> {
  await api.removeVideo(video.id);
  state.removeVideo(video.id);
  if (location.hash.startsWith(`#/videos/${video.id}`)) location.hash = "#/";
  notice(`${video.name} was removed. Its corrections are kept.`);
}

async function openFolder(): Promise<void> {
  const { files, truncated } = await api.folder();
  const boxes = files.map((file) => {
    const box = h("input", { type: "checkbox" });
    box.disabled = file.video !== null;
    return { file, box };
  });
  const add = button("Add", () => {
    dialog.close();
    for (const { file, box } of boxes) if (box.checked) void attempt(addPath(file.path));
  }, { class: "primary" });
  const all = button("All", () => {
    for (const { box } of boxes) box.checked = !box.disabled;
  });
  const rows = boxes.map(({ file, box }) =>
    h("li", {}, h("label", {}, box, ` ${file.path} `,
      h("span", { class: "muted" }, file.video ? "already in the list" : bytes(file.size)))));
  const dialog = openDialog("Videos in the server's folder",
    rows.length ? h("ul", { class: "plain folder" }, ...rows)
      : h("p", {}, "The folder has no videos. It is the one given to avel serve --data."),
    h("p", { class: "muted" }, truncated ? "The folder has more files than are listed." : ""),
    h("footer", {}, all, " ", add));
}

async function addPath(path: string): Promise<void> {
  await state.accept(await api.addPath(path));
}
