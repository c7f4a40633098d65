/** The native video element with looping of a stretch, steps of a frame, and speeds. */

import { h } from "./dom";

export const SPEEDS = [0.25, 0.5, 1, 1.5, 2, 3];
// Until two frames were seen.
const USUAL_FRAME_S = 1 / 25;

export class Player {
  readonly video: HTMLVideoElement;
  /** Time between two frames, measured while the video plays. */
  frame = USUAL_FRAME_S;
  loop: { start: number; end: number } | null = null;
  private timer = 0;

  constructor(url: string, private readonly onTime: (time: number, playing: boolean) => void) {
    this.video = h("video", { src: url, controls: true, preload: "metadata", playsinline: true });
    const report = () => onTime(this.video.currentTime, !this.video.paused);
    for (const name of ["seeking", "seeked", "timeupdate", "pause"]) {
      this.video.addEventListener(name, report);
    }
    this.video.addEventListener("play", () => this.tick());
    this.measureFrames();
  }

  dispose(): void {
    cancelAnimationFrame(this.timer);
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load(); // ends the download
  }

  seek(time: number): void {
    if (this.loop && (time < this.loop.start || time >= this.loop.end)) this.loop = null;
    this.video.currentTime = Math.max(0, time);
  }

  toggle(): void {
    if (this.video.paused) void this.video.play().catch(() => undefined);
    else this.video.pause();
  }

  step(frames: number): void {
    this.video.pause();
    this.seek(this.video.currentTime + frames * this.frame);
  }

  /** Plays a stretch again and again; `null` ends this. */
  setLoop(stretch: { start: number; end: number } | null): void {
    this.loop = stretch;
    if (!stretch) return;
    this.video.currentTime = stretch.start;
    void this.video.play().catch(() => undefined);
  }

  changeSpeed(step: number): number {
    const place = SPEEDS.indexOf(this.video.playbackRate);
    const speed = SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, place + step))] ?? 1;
    this.video.playbackRate = speed;
    return speed;
  }

  /** `timeupdate` comes four times a second: too seldom for a playhead and for short loops. */
  private tick(): void {
    cancelAnimationFrame(this.timer);
    const { video, loop } = this;
    if (loop && video.currentTime >= loop.end) video.currentTime = loop.start;
    this.onTime(video.currentTime, !video.paused);
    if (!video.paused) this.timer = requestAnimationFrame(() => this.tick());
    else if (loop && video.ended) void video.play().catch(() => undefined);
  }

  private measureFrames(): void {
    let last = NaN;
    let frames = NaN;
    const seen: VideoFrameRequestCallback = (_, { mediaTime, presentedFrames }) => {
      const [time, count] = [mediaTime - last, presentedFrames - frames];
      // Neighbours only: a seek lies between others.
      if (count === 1 && time > 0.004 && time < 0.21) this.frame = time;
      [last, frames] = [mediaTime, presentedFrames];
      this.video.requestVideoFrameCallback(seen);
    };
    this.video.requestVideoFrameCallback?.(seen);
  }
}
