/** Drawing of each row of the timeline. Only what is in view is drawn. */

import type { Annotation } from "./api";
import { clock } from "./dom";
import type { EventLanes } from "./event_lanes";
import type { Peaks } from "./peaks";
import type { ClassColours, Theme } from "./theme";
import { TILE_S, type Tiles } from "./tiles";
import { LANE_HEIGHT, type Row } from "./timeline_layout";
import type { Viewport } from "./viewport";

const FONT = "12px system-ui, sans-serif";
const STEPS_S = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const LABEL_SPACING = 80;
const NARROWEST_TILE = 16;
const MARKS: Partial<Record<Annotation["status"], string>> = {
  accepted: "✓ ", changed: "✎ ", added: "+ ", rejected: "✕ ", background: "∅ ",
};

export interface Pen {
  context: CanvasRenderingContext2D;
  view: Viewport;
  theme: Theme;
}

/** Text of an event: a mark for its status, and its label. */
export function eventText(event: Annotation): string {
  const label = event.label || event.predicted || (event.status === "background" ? "background" : "");
  return (MARKS[event.status] ?? "") + label;
}

export function drawAxis({ context, view, theme }: Pen, row: Row, height: number): void {
  const step = STEPS_S.find((each) => (each / view.span) * view.width >= LABEL_SPACING) ?? 7200;
  context.font = FONT;
  context.textBaseline = "middle";
  context.fillStyle = theme.muted;
  context.strokeStyle = theme.rule;
  context.lineWidth = 1;
  context.beginPath();
  for (let i = Math.ceil(view.start / step); i * step <= view.end; i++) {
    const x = Math.round(view.x(i * step)) + 0.5;
    context.moveTo(x, row.top + row.height - 5);
    context.lineTo(x, height);
    context.fillText(clock(i * step, step < 1 ? 1 : 0), x + 4, row.top + row.height / 2);
  }
  context.stroke();
}

export function drawEvents(
  pen: Pen, row: Row, lanes: EventLanes, selected: Annotation | null, colours: ClassColours,
): number {
  const { context, view } = pen;
  context.font = FONT;
  context.textBaseline = "middle";
  return lanes.visit(view.start, view.end, view.span / view.width, (event, lane) => {
    const left = Math.max(-8, view.x(event.start));
    const right = Math.min(view.width + 8, view.x(event.end));
    drawEvent(pen, event, left, right, row.top + lane * LANE_HEIGHT, colours, event === selected);
  });
}

function drawEvent(
  { context, theme }: Pen, event: Annotation, left: number, right: number, top: number,
  colours: ClassColours, selected: boolean,
): void {
  const colour = colours.colour(event.label || event.predicted || "", theme);
  const [y, height] = [top + 1, LANE_HEIGHT - 3];
  const width = Math.max(1, right - left - 1);
  const gone = event.status === "rejected" || event.status === "background";
  if (width < 4) {
    context.fillStyle = gone ? theme.rule : colour;
    context.fillRect(left, y, width, height);
  } else {
    context.globalAlpha = gone ? 0.08 : event.status === "predicted" ? 0.25 : 0.45;
    context.fillStyle = gone ? theme.ink : colour;
    context.fillRect(left, y, width, height);
    context.globalAlpha = 1;
    context.fillStyle = gone ? theme.muted : colour;
    context.fillRect(left, y, 3, height);
  }
  if (selected) {
    context.strokeStyle = theme.ink;
    context.lineWidth = 2;
    context.strokeRect(left, y, Math.max(2, width), height);
  }
  if (width > 24) {
    context.save();
    context.beginPath();
    context.rect(left, y, width - 2, height);
    context.clip();
    context.fillStyle = gone ? theme.muted : theme.ink;
    const x = Math.max(left, 0) + 7;
    context.fillText(eventText(event), x, y + height / 2 + 1);
    if (event.status === "rejected") {
      context.fillRect(x, y + height / 2, context.measureText(eventText(event)).width, 1);
    }
    context.restore();
  }
}

/** The lane in which new events are drawn, and the one that is being drawn. */
export function drawFreeLane(
  { context, view, theme }: Pen, row: Row, ghost: { start: number; end: number } | null, hint: string,
): void {
  const top = row.top + row.height - LANE_HEIGHT;
  context.strokeStyle = theme.rule;
  context.lineWidth = 1;
  context.setLineDash([3, 4]);
  context.strokeRect(0.5, top + 1.5, view.width - 1, LANE_HEIGHT - 4);
  context.setLineDash([]);
  context.fillStyle = theme.muted;
  context.font = FONT;
  context.textBaseline = "middle";
  if (ghost) {
    context.fillStyle = theme.accent;
    context.globalAlpha = 0.4;
    const [left, right] = [view.x(ghost.start), view.x(ghost.end)];
    context.fillRect(left, top + 2, right - left, LANE_HEIGHT - 5);
    context.globalAlpha = 1;
  } else context.fillText(hint, 8, top + LANE_HEIGHT / 2);
}

export interface Curve {
  label: string;
  peaks: Peaks;
}

/** Score of each class over time; the colours are those of its events. */
export function drawCurves(pen: Pen, row: Row, curves: readonly Curve[], colours: ClassColours): void {
  const { context, view, theme } = pen;
  context.strokeStyle = theme.rule;
  context.lineWidth = 1;
  context.strokeRect(-1, row.top + 0.5, view.width + 2, row.height - 1);
  const y = (score: number) => row.top + row.height - 1 - score * (row.height - 3);
  const grey = (curve: Curve) => (colours.place(curve.label) < 0 ? 0 : 1);
  for (const curve of [...curves].sort((a, b) => grey(a) - grey(b))) {
    const coloured = grey(curve) === 1;
    // Where a second is less than a pixel, grey curves would only be noise.
    if (!coloured && view.span > view.width) continue;
    context.fillStyle = colours.colour(curve.label, theme);
    context.globalAlpha = coloured ? 1 : 0.35;
    const width = coloured ? 2 : 1;
    let last = NaN;
    // Scores belong to seconds, so the line has a step for each; joined seconds show the greatest.
    // Rectangles on whole pixels: a stroked path of an hour takes ten times as long.
    curve.peaks.visit(view.start, view.end, view.span / view.width, (start, end, _, high) => {
      const [left, right, top] = [view.x(start), view.x(end), y(high)].map(Math.round) as [number, number, number];
      context.fillRect(left, top, right - left + width, width);
      if (top !== last) context.fillRect(left, Math.min(top, last), width, Math.abs(top - last));
      last = top;
    });
  }
  context.globalAlpha = 1;
}

/** Seconds that could not be decoded. */
export function drawMissing({ context, view, theme }: Pen, row: Row, valid: readonly number[]): void {
  context.fillStyle = theme.rule;
  for (let second = Math.floor(view.start); second < Math.min(view.end, valid.length); second++) {
    if (valid[second]) continue;
    const left = Math.round(view.x(second));
    context.fillRect(left, row.top, Math.max(1, Math.round(view.x(second + 1)) - left), row.height);
  }
}

export function drawWaveform({ context, view, theme }: Pen, row: Row, waveform: Peaks | null): void {
  if (!waveform) return;
  const middle = row.top + row.height / 2;
  const scale = row.height / 2 / 128;
  context.fillStyle = theme.muted;
  waveform.visit(view.start, view.end, view.span / view.width, (start, end, low, high) => {
    const left = Math.round(view.x(start));
    const height = Math.max(1, Math.round((high - low) * scale));
    const width = Math.max(1, Math.round(view.x(end)) - left);
    context.fillRect(left, Math.round(middle - high * scale), width, height);
  });
}

export function drawSpectrogram({ context, view, theme }: Pen, row: Row, tiles: Tiles): void {
  context.fillStyle = theme.raised;
  context.fillRect(0, row.top, view.width, row.height);
  if ((TILE_S / view.span) * view.width < NARROWEST_TILE) {
    context.font = FONT;
    context.fillStyle = theme.muted;
    context.fillText("Zoom in for the spectrogram", 8, row.top + row.height / 2);
    return;
  }
  for (let k = Math.floor(view.start / TILE_S); k * TILE_S < Math.min(view.end, view.duration); k++) {
    const tile = tiles.get(k);
    if (!tile) continue;
    // The part in view alone: a stretched tile would be much wider than the canvas.
    const columns = 20;
    const from = Math.max(0, Math.floor((view.start - k * TILE_S) * columns));
    const to = Math.min(tile.width, Math.ceil((view.end - k * TILE_S) * columns));
    if (to <= from) continue;
    const left = view.x(k * TILE_S + from / columns);
    const right = view.x(k * TILE_S + to / columns);
    context.drawImage(tile, from, 0, to - from, tile.height, left, row.top, right - left, row.height);
  }
}

/** Names of the coloured classes. */
export function drawLegend({ context, view, theme }: Pen, row: Row, labels: string[], colours: ClassColours): void {
  context.font = FONT;
  context.textBaseline = "middle";
  let x = 8;
  for (const label of labels) {
    const width = context.measureText(label).width + 26;
    if (x + width > view.width) break;
    context.fillStyle = colours.colour(label, theme);
    context.fillRect(x, row.top + 3, 8, 8);
    context.fillStyle = theme.muted;
    context.fillText(label, x + 12, row.top + 7.5);
    x += width;
  }
}

export function drawPlayhead({ context, view, theme }: Pen, time: number, height: number): void {
  const x = Math.round(view.x(time)) + 0.5;
  if (x < 0 || x > view.width) return;
  context.strokeStyle = theme.error;
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(x, 0);
  context.lineTo(x, height);
  context.stroke();
}

/** The second under the cursor. */
export function drawCursor({ context, view, theme }: Pen, second: number, top: number, height: number): void {
  const [left, right] = [view.x(second), view.x(second + 1)];
  context.globalAlpha = 0.07;
  context.fillStyle = theme.ink;
  context.fillRect(left, top, Math.max(1, right - left), height - top);
  context.globalAlpha = 1;
}
