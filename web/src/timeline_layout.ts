/** Rows of the timeline, from top to bottom, in CSS pixels. */

export const LANE_HEIGHT = 24;
const AXIS_HEIGHT = 22;
const LEGEND_HEIGHT = 12;
const GAP = 8;

export interface Row {
  top: number;
  height: number;
}

export interface Layout {
  axis: Row;
  /** The lanes of events, and below them a free one to draw new events in. */
  events: Row;
  legend: Row;
  curves: Row;
  waveform: Row;
  spectrogram: Row;
  height: number;
}

export function layOut(lanes: number, narrow: boolean): Layout {
  let top = 0;
  const row = (height: number): Row => {
    const found = { top, height };
    top += height + GAP;
    return found;
  };
  const layout = {
    axis: row(AXIS_HEIGHT),
    events: row((lanes + 1) * LANE_HEIGHT),
    legend: row(LEGEND_HEIGHT),
    curves: row(narrow ? 64 : 84),
    waveform: row(narrow ? 36 : 48),
    spectrogram: row(64),
  };
  return { ...layout, height: top - GAP };
}

export const within = (row: Row, y: number): boolean => y >= row.top && y < row.top + row.height;
