/** The time axis of one video on a canvas, drawn again only after a change. */

import type { Annotation } from "./api";
import type { Annotations } from "./annotations";
import { clock, h } from "./dom";
import type { Peaks } from "./peaks";
import { onThemeChange, readTheme, type ClassColours } from "./theme";
import { Tiles } from "./tiles";
import * as draw from "./timeline_drawing";
import { layOut, type Layout } from "./timeline_layout";
import { listenToPointer } from "./timeline_pointer";
import { Viewport } from "./viewport";

const NARROW = 600;

export interface TimelineEvents {
  seek: (time: number) => void;
  select: (event: Annotation) => void;
  /** A boundary was dragged; `before` has the times from before. */
  moved: (event: Annotation, before: { start: number; end: number }) => void;
  drawn: (start: number, end: number) => void;
  hover: (second: number | null) => void;
}

export class Timeline {
  readonly canvas: HTMLCanvasElement;
  readonly element: HTMLElement;
  readonly view: Viewport;
  layout: Layout = layOut(1, false);
  waveform: Peaks | null = null;
  curves: draw.Curve[] = [];
  /** 0 for each second that could not be decoded. */
  valid: readonly number[] = [];
  /** A new event while it is being drawn. */
  ghost: { start: number; end: number } | null = null;
  /** The second under the cursor. */
  hovered: number | null = null;
  time = 0;
  private theme = readTheme();
  private tiles: Tiles;
  private frame = 0;
  private readonly observer: ResizeObserver;
  private readonly stopTheme: () => void;

  constructor(
    video: string,
    duration: number,
    readonly annotations: Annotations,
    private colours: ClassColours,
    readonly events: TimelineEvents,
  ) {
    this.view = new Viewport(duration);
    this.canvas = h("canvas", {
      tabindex: 0, role: "slider", "aria-label": "Timeline: time in the video",
      "aria-valuemin": 0, "aria-valuemax": duration.toFixed(1), "aria-valuenow": 0,
    });
    this.element = h("div", { class: "timeline" }, this.canvas);
    const makeTiles = () => new Tiles(video, this.theme.dark, () => this.redraw());
    this.tiles = makeTiles();
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.element);
    this.stopTheme = onThemeChange(() => {
      this.theme = readTheme();
      this.tiles = makeTiles();
      this.redraw();
    });
    listenToPointer(this);
  }

  dispose(): void {
    this.observer.disconnect();
    this.stopTheme();
    cancelAnimationFrame(this.frame);
  }

  setColours(colours: ClassColours): void {
    this.colours = colours;
    this.redraw();
  }

  setTime(time: number, follow: boolean): void {
    this.time = time;
    if (follow) this.view.reveal(time);
    this.canvas.setAttribute("aria-valuenow", time.toFixed(1));
    const now: string[] = [];
    this.annotations.lanes.visit(time, time, 0, (event) => now.push(event.label));
    const names = now.filter(Boolean).join(", ");
    this.canvas.setAttribute("aria-valuetext", clock(time) + (names ? `, ${names}` : ""));
    this.redraw();
  }

  /** Draws at the next frame. */
  redraw(): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  private resize(): void {
    const width = this.element.clientWidth;
    if (!width) return;
    this.view.width = width;
    this.draw();
  }

  private draw(): void {
    const { canvas, view, annotations } = this;
    const layout = layOut(annotations.lanes.count, view.width < NARROW);
    this.layout = layout;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [Math.round(view.width * ratio), Math.round(layout.height * ratio)];
    if (canvas.width !== width || canvas.height !== height) {
      [canvas.width, canvas.height] = [width, height];
      canvas.style.height = `${layout.height}px`;
    }
    const context = canvas.getContext("2d")!;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, view.width, layout.height);
    const pen = { context, view, theme: this.theme };
    draw.drawAxis(pen, layout.axis, layout.height);
    draw.drawSpectrogram(pen, layout.spectrogram, this.tiles);
    draw.drawWaveform(pen, layout.waveform, this.waveform);
    draw.drawMissing(pen, layout.curves, this.valid);
    draw.drawCurves(pen, layout.curves, this.curves, this.colours);
    if (this.hovered !== null) draw.drawCursor(pen, this.hovered, layout.axis.height, layout.height);
    const labels = this.curves.map((each) => each.label).filter((each) => this.colours.place(each) >= 0);
    draw.drawLegend(pen, layout.legend, labels, this.colours);
    const drawn = draw.drawEvents(
      pen, layout.events, annotations.lanes, annotations.selected, this.colours,
    );
    draw.drawFreeLane(pen, layout.events, this.ghost, "Drag here to add an event");
    draw.drawPlayhead(pen, this.time, layout.height);
    // For tests and for those who look for a slow page.
    Object.assign(canvas.dataset, {
      eventsDrawn: drawn, lanes: annotations.lanes.count, span: view.span,
    });
  }
}
