/** Spectrogram tiles of one minute each: fetched when they come into view, and kept for a while. */

import { videoUrl } from "./api";

export const TILE_S = 60;
// 64 tiles of 1200 x 64 pixels take 20 MB.
const MOST_KEPT = 64;

export class Tiles {
  private readonly kept = new Map<number, HTMLCanvasElement | null>();

  constructor(
    private readonly video: string,
    private readonly dark: boolean,
    private readonly onLoad: () => void,
  ) {}

  /** The tile of minute k, or null until it is there. */
  get(k: number): HTMLCanvasElement | null {
    const found = this.kept.get(k);
    if (found !== undefined) {
      this.kept.delete(k); // to the end: it was used last
      this.kept.set(k, found);
      return found;
    }
    this.kept.set(k, null);
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= MOST_KEPT) break;
      this.kept.delete(oldest);
    }
    const image = new Image();
    image.onload = () => {
      if (!this.kept.has(k)) return;
      this.kept.set(k, this.tinted(image));
      this.onLoad();
    };
    image.src = videoUrl(this.video, `/spectrogram/${k}.png`);
    return null;
  }

  /** Loud is bright on a dark page, and dark on a bright one. */
  private tinted(image: HTMLImageElement): HTMLCanvasElement {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d")!;
    context.drawImage(image, 0, 0);
    if (!this.dark) {
      context.globalCompositeOperation = "difference";
      context.fillStyle = "#fff";
      context.fillRect(0, 0, canvas.width, canvas.height);
    }
    return canvas;
  }
}
