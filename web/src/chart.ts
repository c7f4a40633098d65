/** The chart of precision against score on the review page. */

import type { ReviewCurve } from "./api";
import { h } from "./dom";
import { readTheme } from "./theme";

const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [420, 220, 40, 28, 8];

export function precisionChart(curve: ReviewCurve, wanted: number): HTMLCanvasElement {
  const threshold = curve.threshold === null ? "none reaches it" : curve.threshold.toFixed(2);
  const canvas = h("canvas", {
    class: "chart", role: "img",
    "aria-label": `Precision against score for ${curve.label}. Threshold for a precision of ${wanted}: ${threshold}.`,
  });
  const ratio = devicePixelRatio || 1;
  [canvas.width, canvas.height] = [WIDTH * ratio, HEIGHT * ratio];
  const context = canvas.getContext("2d")!;
  context.scale(ratio, ratio);
  const theme = readTheme();
  const x = (score: number) => LEFT + score * (WIDTH - LEFT - 8);
  const y = (precision: number) => TOP + (1 - precision) * (HEIGHT - TOP - BOTTOM);
  context.font = "12px system-ui, sans-serif";
  context.strokeStyle = theme.rule;
  context.fillStyle = theme.muted;
  context.textBaseline = "middle";
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    line(context, [[x(0), y(tick)], [x(1), y(tick)]]);
    context.textAlign = "right";
    context.fillText(`${tick * 100} %`, LEFT - 4, y(tick));
    context.textAlign = "center";
    context.fillText(String(tick), x(tick) - (tick === 1 ? 6 : 0), HEIGHT - BOTTOM + 10);
  }
  context.fillText("score", x(0.5), HEIGHT - 5);
  const { curve: points } = curve;
  if (points.length) {
    context.fillStyle = theme.series[0]!;
    context.globalAlpha = 0.2;
    context.beginPath();
    for (const each of points) context.lineTo(x(each.score), y(each.high));
    for (const each of points.toReversed()) context.lineTo(x(each.score), y(each.low));
    context.fill();
    context.globalAlpha = 1;
    context.strokeStyle = theme.series[0]!;
    context.lineWidth = 2;
    line(context, points.map((each) => [x(each.score), y(each.precision)]));
  }
  context.lineWidth = 1;
  context.setLineDash([4, 3]);
  context.strokeStyle = theme.ink;
  line(context, [[x(0), y(wanted)], [x(1), y(wanted)]]);
  if (curve.threshold !== null) line(context, [[x(curve.threshold), y(0)], [x(curve.threshold), y(1)]]);
  return canvas;
}

function line(context: CanvasRenderingContext2D, points: [number, number][]): void {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.stroke();
}
