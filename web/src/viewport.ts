/** The part of the time axis that is in view. */

// The narrowest view: a frame at 25 frames per second is then a few pixels wide.
const NARROWEST_S = 0.5;

export class Viewport {
  start = 0;
  span = 1;
  /** Of the canvas, in CSS pixels. */
  width = 1;

  constructor(readonly duration: number) {
    this.fit();
  }

  get end(): number {
    return this.start + this.span;
  }

  fit(): void {
    this.start = 0;
    this.span = this.duration;
  }

  x(time: number): number {
    return ((time - this.start) / this.span) * this.width;
  }

  time(x: number): number {
    return this.start + (x / this.width) * this.span;
  }

  /** Magnifies by a factor and keeps the time at `x` in its place. */
  zoom(factor: number, x = this.width / 2): void {
    const fixed = this.time(x);
    const narrowest = Math.min(NARROWEST_S, this.duration);
    this.span = Math.min(this.duration, Math.max(narrowest, this.span / factor));
    this.start = fixed - (x / this.width) * this.span;
    this.clamp();
  }

  pan(seconds: number): void {
    this.start += seconds;
    this.clamp();
  }

  /** Moves, without magnifying, until a time is in view; a time outside comes to a fifth. */
  reveal(time: number): void {
    if (time < this.start || time > this.end) {
      this.start = time - this.span / 5;
      this.clamp();
    }
  }

  /** Shows a stretch with room at both sides. */
  show(start: number, end: number): void {
    const length = end - start;
    if (length > this.span * 0.9) this.span = Math.min(this.duration, length * 1.5);
    if (start < this.start || end > this.end) this.start = (start + end - this.span) / 2;
    this.clamp();
  }

  private clamp(): void {
    this.start = Math.max(0, Math.min(this.start, this.duration - this.span));
  }
}
