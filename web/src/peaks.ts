/** Least and greatest values of a series at halving resolutions, for drawing at any zoom. */

export class Peaks {
  /** Per level, the (least, greatest) pairs; level k joins 2**k pairs. */
  private readonly levels: Float32Array[] = [];

  /**
   * @param pairs values [N, 2]: least, greatest
   * @param rate pairs per second
   */
  constructor(pairs: Float32Array, readonly rate: number) {
    this.levels.push(pairs);
    for (let level = pairs; level.length > 128;) {
      const half = new Float32Array(Math.ceil(level.length / 4) * 2);
      for (let i = 0; i < half.length / 2; i++) {
        const [a, b] = [4 * i, Math.min(4 * i + 2, level.length - 2)];
        half[2 * i] = Math.min(level[a]!, level[b]!);
        half[2 * i + 1] = Math.max(level[a + 1]!, level[b + 1]!);
      }
      this.levels.push(half);
      level = half;
    }
  }

  static ofCurve(values: readonly number[], rate: number): Peaks {
    const pairs = new Float32Array(values.length * 2);
    values.forEach((value, i) => pairs.fill(value, 2 * i, 2 * i + 2));
    return new Peaks(pairs, rate);
  }

  /** Calls `draw(start s, end s, least, greatest)` for steps of at least `step` seconds. */
  visit(
    start: number, end: number, step: number,
    draw: (start: number, end: number, low: number, high: number) => void,
  ): void {
    const level = Math.min(
      this.levels.length - 1, Math.max(0, Math.ceil(Math.log2(step * this.rate))),
    );
    const pairs = this.levels[level]!;
    const length = 2 ** level / this.rate;
    const last = Math.min(pairs.length / 2 - 1, Math.floor(end / length));
    for (let i = Math.max(0, Math.floor(start / length)); i <= last; i++) {
      draw(i * length, (i + 1) * length, pairs[2 * i]!, pairs[2 * i + 1]!);
    }
  }
}
