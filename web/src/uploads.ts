/** Files that are on their way to the server, a few at a time. */

import { ApiError, upload } from "./api";
import { announce } from "./notices";
import { state } from "./state";

const AT_ONCE = 2;
const USUAL_WAIT_S = 5;
const BUSY = new Set([429, 503]);

export interface Upload {
  file: File;
  share: number;
  /** Text after a failure. */
  error: string | null;
  /** What is being waited for. */
  note: string | null;
  cancel: () => void;
}

class Uploads {
  readonly items = new Set<Upload>();
  private readonly waiting: Upload[] = [];
  private running = 0;

  add(files: Iterable<File>): void {
    const limit = state.info?.limits.upload_bytes ?? Infinity;
    for (const file of files) {
      const item: Upload = { file, share: 0, error: null, note: null, cancel: () => this.drop(item) };
      this.items.add(item);
      if (file.size > limit) {
        item.error = `The file is larger than the ${(limit / 1e9).toFixed(1)} GB that the server accepts.`;
      } else this.waiting.push(item);
    }
    this.next();
  }

  retry(item: Upload): void {
    [item.error, item.share] = [null, 0];
    item.cancel = () => this.drop(item);
    this.waiting.push(item);
    this.next();
  }

  drop(item: Upload): void {
    this.items.delete(item);
    const place = this.waiting.indexOf(item);
    if (place >= 0) this.waiting.splice(place, 1);
    state.changed();
  }

  private next(): void {
    while (this.running < AT_ONCE && this.waiting.length) {
      this.running++;
      void this.send(this.waiting.shift()!).finally(() => {
        this.running--;
        this.next();
      });
    }
    state.changed();
  }

  private async send(item: Upload): Promise<void> {
    const { finished, cancel } = upload(item.file, (share) => {
      item.share = share;
      state.changed();
    });
    item.cancel = () => {
      cancel();
      this.drop(item);
    };
    try {
      await state.accept(await finished);
      announce(`${item.file.name} uploaded`);
      this.drop(item);
    } catch (error) {
      if (error instanceof ApiError && BUSY.has(error.status)) await this.wait(item, error);
      else item.error = (error as Error).message;
      state.changed();
    }
  }

  /** The server is busy: the upload goes back to the queue after the time that it named. */
  private async wait(item: Upload, error: ApiError): Promise<void> {
    item.note = `Waiting: ${error.message}`;
    item.cancel = () => this.drop(item);
    state.changed();
    await new Promise((resolve) => setTimeout(resolve, (error.retryAfter || USUAL_WAIT_S) * 1000));
    item.note = null;
    if (this.items.has(item)) this.waiting.unshift(item);
  }
}

export const uploads = new Uploads();

/** Takes files that are dropped anywhere on the page. */
export function acceptDrops(): void {
  const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    document.body.classList.remove("dropping");
    uploads.add(event.dataTransfer!.files);
  });
}
