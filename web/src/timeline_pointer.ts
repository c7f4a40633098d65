/** Mouse, pen and touch on the timeline: seek, pan, zoom, select, drag boundaries, draw events. */

import type { Annotation } from "./api";
import type { Timeline } from "./timeline";
import { LANE_HEIGHT, within } from "./timeline_layout";

// Pixels around a boundary in which it can be taken.
const REACH_MOUSE = 6;
const REACH_TOUCH = 16;
// Movement below this is a click.
const CLICK = 4;
const SHORTEST_EVENT_S = 0.05;
const ZOOM_PER_WHEEL_PIXEL = 0.002;

type Edge = "start" | "end";
type Action =
  | { kind: "pan" | "scrub" }
  | { kind: "add"; from: number }
  | { kind: "edge"; event: Annotation; edge: Edge; before: { start: number; end: number } };

export function listenToPointer(timeline: Timeline): void {
  const { canvas, view, annotations, events } = timeline;
  const pointers = new Map<number, { x: number; y: number }>();
  let action: Action | null = null;
  let first = { x: 0, y: 0 };
  let moved = false;

  const place = (event: PointerEvent | WheelEvent) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const lane = (y: number) => Math.floor((y - timeline.layout.events.top) / LANE_HEIGHT);
  const eventAt = (x: number, y: number, reach: number) =>
    within(timeline.layout.events, y)
      ? annotations.lanes.at(view.time(x), lane(y), (reach / view.width) * view.span)
      : null;

  function edgeAt(x: number, y: number, touch: boolean): { event: Annotation; edge: Edge } | null {
    const reach = touch ? REACH_TOUCH : REACH_MOUSE;
    const selected = annotations.selected;
    const under = eventAt(x, y, reach);
    // Where two events touch, the boundary of the selected one is meant.
    const near = selected && within(timeline.layout.events, y) && lane(y) < annotations.lanes.count
      && eventAt(view.x(selected.start) + 1, y, 0) === selected ? [selected, under] : [under];
    for (const event of near) {
      if (!event) continue;
      const [start, end] = [view.x(event.start), view.x(event.end)];
      if (touch && event !== selected) continue;
      // The middle of a short event is for selecting it.
      const inside = Math.min(reach, Math.max(2, (end - start) / 4));
      if (x >= end - inside && x <= end + reach) return { event, edge: "end" };
      if (x >= start - reach && x <= start + inside) return { event, edge: "start" };
    }
    return null;
  }

  function begin(x: number, y: number, pointer: PointerEvent): Action {
    const touch = pointer.pointerType === "touch";
    if (within(timeline.layout.axis, y)) return { kind: "scrub" };
    const edge = edgeAt(x, y, touch);
    if (edge) {
      const { start, end } = edge.event;
      annotations.select(edge.event);
      return { kind: "edge", ...edge, before: { start, end } };
    }
    const free = within(timeline.layout.events, y) && lane(y) >= annotations.lanes.count;
    return free ? { kind: "add", from: view.time(x) } : { kind: "pan" };
  }

  function move(x: number, last: { x: number }): void {
    const time = Math.max(0, Math.min(view.duration, view.time(x)));
    switch (action?.kind) {
      case "scrub":
        return events.seek(time);
      case "pan":
        return view.pan(((last.x - x) / view.width) * view.span);
      case "add":
        timeline.ghost = { start: Math.min(time, action.from), end: Math.max(time, action.from) };
        return;
      case "edge": {
        const { event, edge } = action;
        if (edge === "start") event.start = Math.min(time, event.end - SHORTEST_EVENT_S);
        else event.end = Math.max(time, event.start + SHORTEST_EVENT_S);
      }
    }
  }

  function finish(x: number, y: number): void {
    if (action?.kind === "edge" && moved) {
      const { event, before } = action;
      [event.start, event.end] = [round(event.start), round(event.end)];
      events.moved(event, before);
    } else if (action?.kind === "add" && moved && timeline.ghost) {
      events.drawn(round(timeline.ghost.start), round(timeline.ghost.end));
    } else if (!moved) {
      const event = eventAt(x, y, 2);
      if (event) events.select(event);
      else events.seek(view.time(x));
    }
    timeline.ghost = null;
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    const { x, y } = place(event);
    pointers.set(event.pointerId, { x, y });
    if (pointers.size > 1) {
      cancel();
      return;
    }
    [first, moved] = [{ x, y }, false];
    action = begin(x, y, event);
    if (action.kind === "scrub") events.seek(view.time(x));
  });

  canvas.addEventListener("pointermove", (event) => {
    const { x, y } = place(event);
    const last = pointers.get(event.pointerId);
    if (!last) {
      canvas.classList.toggle("edge", edgeAt(x, y, false) !== null);
      hover(x);
      return;
    }
    if (pointers.size === 2) pinch(event.pointerId, x, y);
    else if (moved || Math.abs(x - first.x) > CLICK) {
      // The first step starts where the button went down.
      move(x, moved ? last : first);
      moved = true;
    } else return;
    pointers.set(event.pointerId, { x, y });
    hover(x);
    timeline.redraw();
  });

  function pinch(id: number, x: number, y: number): void {
    const old = pointers.get(id)!;
    const other = [...pointers].find(([each]) => each !== id)![1];
    const distance = (point: { x: number; y: number }) =>
      Math.max(10, Math.hypot(point.x - other.x, point.y - other.y));
    view.pan((((old.x - x) / 2) / view.width) * view.span);
    view.zoom(distance({ x, y }) / distance(old), (x + other.x) / 2);
    moved = true;
  }

  function hover(x: number): void {
    const second = Math.floor(view.time(x));
    if (second === timeline.hovered) return;
    timeline.hovered = second;
    events.hover(second);
    timeline.redraw();
  }

  /** Puts a dragged boundary back, as Escape and a second finger do. */
  function cancel(): void {
    if (action?.kind === "edge") Object.assign(action.event, action.before);
    action = timeline.ghost = null;
    moved = true;
    timeline.redraw();
  }

  canvas.addEventListener("pointerup", (event) => {
    if (!pointers.delete(event.pointerId) || pointers.size || !action) return;
    const { x, y } = place(event);
    finish(x, y);
    action = null;
    timeline.redraw();
  });
  canvas.addEventListener("pointercancel", (event) => {
    pointers.delete(event.pointerId);
    cancel();
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && action) cancel();
  });
  canvas.addEventListener("pointerleave", () => {
    timeline.hovered = null;
    events.hover(null);
    timeline.redraw();
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const [across, along] = event.shiftKey ? [event.deltaX || event.deltaY, 0] : [event.deltaX, event.deltaY];
    view.pan(((across * unit) / view.width) * view.span);
    if (along) view.zoom(Math.exp(-along * unit * ZOOM_PER_WHEEL_PIXEL), place(event).x);
    timeline.redraw();
  }, { passive: false });
}

/** To milliseconds: a pixel is no more exact. */
export function round(time: number): number {
  return Math.round(time * 1000) / 1000;
}
