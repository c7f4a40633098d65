/** Events packed into lanes, so that those which overlap lie below each other. */

import type { Annotation } from "./api";

const MOST_LANES = 6;

interface Lane {
  /** By start. */
  events: Annotation[];
  /** For each event, the latest end up to it. */
  ends: number[];
}

const endOf = (lane: Lane): number => lane.ends.at(-1) ?? 0;

export class EventLanes {
  private readonly lanes: Lane[] = [];

  constructor(events: Iterable<Annotation>) {
    for (const event of [...events].sort((a, b) => a.start - b.start || a.end - b.end)) {
      let lane = this.lanes.find((each) => endOf(each) <= event.start);
      if (!lane && this.lanes.length < MOST_LANES) this.lanes.push(lane = { events: [], ends: [] });
      // More than can be shown: the lane that ends first has the least overlap.
      lane ??= this.lanes.reduce((a, b) => (endOf(a) <= endOf(b) ? a : b));
      lane.ends.push(Math.max(endOf(lane), event.end));
      lane.events.push(event);
    }
  }

  get count(): number {
    return this.lanes.length;
  }

  /** Calls `draw` for the events between two times; of those in one pixel, for the first only. */
  visit(
    start: number, end: number, pixel: number, draw: (event: Annotation, lane: number) => void,
  ): number {
    let drawn = 0;
    this.lanes.forEach(({ events, ends }, lane) => {
      let covered = start;
      for (let i = firstAfter(ends, start); i < events.length; i++) {
        const event = events[i]!;
        if (event.start > end) break;
        if (event.end <= covered) continue;
        draw(event, lane);
        drawn++;
        // To the end of the pixel: the next event that is drawn ends in another one.
        covered = pixel ? Math.ceil(event.end / pixel) * pixel : event.end;
      }
    });
    return drawn;
  }

  at(time: number, lane: number, reach: number): Annotation | null {
    let nearest: Annotation | null = null;
    let distance = reach;
    const { events, ends } = this.lanes[lane] ?? { events: [], ends: [] };
    for (let i = firstAfter(ends, time - reach); i < events.length; i++) {
      const event = events[i]!;
      if (event.start > time + reach) break;
      const away = Math.max(0, event.start - time, time - event.end);
      if (away <= distance) [nearest, distance] = [event, away];
    }
    return nearest;
  }
}

/** Index of the first of ascending ends that is after a time. */
function firstAfter(ends: number[], time: number): number {
  let [low, high] = [0, ends.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ends[middle]! <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}
