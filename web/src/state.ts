/** Videos, jobs and facts about the server, kept current by one event stream. */

import { api, type ApiError, type Accepted, type Info, type Job, type Video } from "./api";
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
  private infoTimer = 0;
  private retryTimer = 0;
  private source: EventSource | null = null;
  /** Changes that arrive while the lists are read, which are newer than what is read; else null. */
  private early: (() => void)[] | null = null;

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

  /** Follows the event stream and reads everything; after a lost connection, again. */
  connect(): void {
    this.source?.close();
    const source = new EventSource("/api/v1/events");
    this.source = source;
    this.early = [];
    const on = <T>(name: string, apply: (record: T) => void) =>
      source.addEventListener(name, (event) => {
        const record = JSON.parse((event as MessageEvent<string>).data) as T;
        if (this.early) this.early.push(() => apply(record));
        else apply(record);
      });
    on<Job>("job", (job) => this.setJob(job));
    on<Video>("video", (video) => this.setVideo(video));
    source.onopen = () => void this.load().catch(() => this.lost());
    source.onerror = () => this.lost();
  }

  /** Reads the facts about the server, again and again while its model is loaded. */
  async refreshInfo(): Promise<void> {
    clearTimeout(this.infoTimer);
    this.info = await api.info();
    this.changed();
    if (this.connected && !this.info.ready) {
      this.infoTimer = window.setTimeout(() => void this.refreshInfo().catch(() => undefined), RETRY_MS);
    }
  }

  /** Reads a video that was just accepted, and its job. */
  async accept({ job, video }: Accepted): Promise<void> {
    const [newVideo, newJob] = await Promise.all([api.video(video), api.job(job)]);
    // What the event stream has brought meanwhile is newer.
    if (!this.videos.has(video)) this.setVideo(newVideo);
    if (!this.jobs.has(job)) this.setJob(newJob);
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

  /** Reads the lists again: a removed video has no event of its own. */
  refresh(): void {
    if (this.connected && !this.early) this.load().catch(() => this.lost());
  }

  private async load(): Promise<void> {
    this.early ??= [];
    const [videos, jobs] = await Promise.all([api.videos(), api.jobs()]);
    this.videos.clear();
    for (const video of videos) this.videos.set(video.id, video);
    this.jobs.clear();
    for (const job of jobs) this.jobs.set(job.id, job);
    this.connected = this.loaded = true;
    for (const apply of this.early) apply();
    this.early = null;
    await this.refreshInfo();
  }

  /** Connects again after a while; without a token, after the login. */
  private lost(): void {
    this.source?.close();
    this.connected = false;
    this.changed();
    api.info().then(
      () => this.connectLater(),
      (error: ApiError) => {
        if (error.status !== 401) this.connectLater();
      });
  }

  private connectLater(): void {
    clearTimeout(this.retryTimer);
    this.retryTimer = window.setTimeout(() => this.connect(), RETRY_MS);
  }

  private announceState(job: Job): void {
    const name = job.kind === "train" ? "Training" : (this.videos.get(job.video ?? "")?.name ?? "");
    const words = { queued: "queued", running: "started", done: "done", failed: "failed", cancelled: "cancelled" };
    announce(`${name}: ${words[job.state]}`);
  }
}

export const state = new State();
