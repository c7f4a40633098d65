/** Videos, jobs and facts about the server, kept current by one event stream. */

import { api, type Info, type Job, type Video } from "./api";
import { announce } from "./notices";

type Listener = () => void;

const RETRY_MS = 2000;

class State {
  info: Info | null = null;
  readonly videos = new Map<string, Video>();
  readonly jobs = new Map<string, Job>();
  connected = false;
  loaded = false;
  private readonly listeners = new Set<Listener>();
  private scheduled = false;
  private source: EventSource | null = null;

  /** Calls a function after changes, at most once a frame; returns a function that ends this. */
  subscribe(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  changed(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    // Not an animation frame: a page in the background has none.
    setTimeout(() => {
      this.scheduled = false;
      for (const listener of [...this.listeners]) listener();
    });
  }

  /** Reads everything and follows the event stream; after a lost connection, again. */
  async connect(): Promise<void> {
    try {
      const [info, videos, jobs] = await Promise.all([api.info(), api.videos(), api.jobs()]);
      this.info = info;
      this.videos.clear();
      for (const video of videos) this.videos.set(video.id, video);
      this.jobs.clear();
      for (const job of jobs) this.jobs.set(job.id, job);
      this.connected = this.loaded = true;
      this.follow();
    } catch (error) {
      this.lost((error as { status?: number }).status !== 401);
    }
    this.changed();
  }

  async refreshInfo(): Promise<void> {
    this.info = await api.info();
    this.changed();
  }

  setVideo(video: Video): void {
    this.videos.set(video.id, video);
    this.changed();
  }

  setJob(job: Job): void {
    const known = this.jobs.get(job.id);
    this.jobs.set(job.id, job);
    if (known?.state !== job.state) this.announceState(job);
    this.changed();
  }

  removeVideo(id: string): void {
    this.videos.delete(id);
    this.changed();
  }

  /** Progress of a job in [0, 1], or null where its total is not known. */
  share(job: Job): number | null {
    return job.total ? Math.min(1, job.done / job.total) : null;
  }

  private follow(): void {
    this.source?.close();
    const source = new EventSource("/api/v1/events");
    this.source = source;
    source.addEventListener("job", (event) =>
      this.setJob(JSON.parse((event as MessageEvent<string>).data) as Job));
    source.addEventListener("video", (event) =>
      this.setVideo(JSON.parse((event as MessageEvent<string>).data) as Video));
    source.onerror = () => {
      source.close();
      this.lost(true);
    };
  }

  private lost(retry: boolean): void {
    this.connected = false;
    this.changed();
    if (retry) setTimeout(() => void this.connect(), RETRY_MS);
  }

  private announceState(job: Job): void {
    const name = job.kind === "train" ? "Training" : (this.videos.get(job.video ?? "")?.name ?? "");
    const words = { queued: "queued", running: "started", done: "done", failed: "failed", cancelled: "cancelled" };
    announce(`${name}: ${words[job.state]}`);
  }
}

export const state = new State();
