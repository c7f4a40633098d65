/** The annotations of one video, and changes to them that can be undone. */

import { api, type Annotation, type Fields } from "./api";
import { EventLanes } from "./event_lanes";
import { attempt } from "./notices";

/** A change and its inverse; each applies itself here at once and then on the server. */
interface Edit {
  text: string;
  redo: () => Promise<void>;
  undo: () => Promise<void>;
}

const AUTHOR_KEY = "avel-author";

export function author(): string {
  return localStorage.getItem(AUTHOR_KEY) ?? "";
}

export function setAuthor(name: string): void {
  localStorage.setItem(AUTHOR_KEY, name.trim());
}

const signed = <T extends object>(fields: T): T & { author?: string } =>
  author() ? { ...fields, author: author() } : fields;

const fieldsOf = ({ label, start, end, status }: Annotation): Fields => ({ label, start, end, status });

/** Status of an event after its label or boundaries were changed. */
const afterChange = (event: Annotation): Fields["status"] =>
  event.status === "added" ? "added" : "changed";

export class Annotations {
  events: Annotation[] = [];
  lanes = new EventLanes([]);
  selected: Annotation | null = null;
  private readonly past: Edit[] = [];
  private future: Edit[] = [];
  /** Requests are sent in the order of the changes. */
  private queue: Promise<unknown> = Promise.resolve();

  constructor(
    readonly video: string,
    private readonly onChange: () => void,
  ) {}

  async load(): Promise<void> {
    this.events = await api.annotations(this.video);
    this.selected = this.events.find((each) => each.id === this.selected?.id) ?? null;
    this.arrange();
  }

  /** Sorts and packs again, after a change of times. */
  arrange(): void {
    this.events.sort((a, b) => a.start - b.start || a.end - b.end);
    this.lanes = new EventLanes(this.events);
    this.onChange();
  }

  select(event: Annotation | null): void {
    this.selected = event;
    this.onChange();
  }

  /** The event before or after the selected one, or after a time where none is. */
  neighbour(step: 1 | -1, time: number): Annotation | null {
    const index = this.selected ? this.events.indexOf(this.selected) : -1;
    if (index >= 0) return this.events[index + step] ?? null;
    return step > 0
      ? (this.events.find((each) => each.start >= time) ?? null)
      : (this.events.findLast((each) => each.start <= time) ?? null);
  }

  /** The next event that nobody has reviewed. */
  nextUnreviewed(): Annotation | null {
    const from = this.selected ? this.events.indexOf(this.selected) : -1;
    const order = [...this.events.slice(from + 1), ...this.events.slice(0, from + 1)];
    return order.find((each) => each.status === "predicted") ?? null;
  }

  add(label: string, start: number, end: number, status: "added" | "background" = "added"): void {
    const event: Annotation = {
      id: "", label, start, end, status, score: null, author: author(), time: null,
    };
    this.run({
      text: `add ${label || "background"}`,
      redo: () => this.create(event),
      undo: () => this.erase(event),
    });
    this.select(event);
  }

  /** Removes an added event; an event of the model is rejected. */
  remove(event: Annotation): void {
    if (event.status !== "added") return this.change(event, { status: "rejected" }, "reject");
    this.run({
      text: `remove ${event.label}`,
      redo: () => this.erase(event),
      undo: () => this.create(event),
    });
    this.select(null);
  }

  /** Changes fields; `moved` has the times from before a drag, which moved `event` already. */
  change(event: Annotation, changes: Partial<Fields>, text: string, moved: Partial<Fields> = {}): void {
    const before = { ...fieldsOf(event), ...moved };
    const after: Fields = { ...before, status: afterChange(event), ...changes };
    if (JSON.stringify(after) === JSON.stringify(before)) return;
    this.run({
      text: `${text} ${before.label}`.trim(),
      redo: () => this.write(event, after),
      undo: () => this.write(event, before),
    });
  }

  get canUndo(): string | null {
    return this.past.at(-1)?.text ?? null;
  }

  get canRedo(): string | null {
    return this.future.at(-1)?.text ?? null;
  }

  undo(): void {
    const edit = this.past.pop();
    if (!edit) return;
    this.future.push(edit);
    void this.settle(edit.undo());
  }

  redo(): void {
    const edit = this.future.pop();
    if (!edit) return;
    this.past.push(edit);
    void this.settle(edit.redo());
  }

  /** Resolves when all changes are on the server. */
  async saved(): Promise<void> {
    await this.queue;
  }

  private run(edit: Edit): void {
    this.past.push(edit);
    this.future = [];
    void this.settle(edit.redo());
  }

  /** After a refused change the server's annotations hold, and the history is void. */
  private async settle(work: Promise<void>): Promise<void> {
    const worked = await attempt(work.then(() => true));
    if (worked) return;
    this.past.length = this.future.length = 0;
    await attempt(this.load());
  }

  private send<T>(work: () => Promise<T>): Promise<T> {
    const result = this.queue.then(work);
    this.queue = result.catch(() => undefined);
    return result;
  }

  private async write(event: Annotation, fields: Fields): Promise<void> {
    Object.assign(event, fields);
    this.arrange();
    const { author, time } = await this.send(() =>
      api.changeAnnotation(this.video, event.id, signed(fields)));
    Object.assign(event, { author, time });
    this.onChange();
  }

  private async create(event: Annotation): Promise<void> {
    this.events.push(event);
    this.arrange();
    const { id, time } = await this.send(() =>
      api.addAnnotation(this.video, signed(fieldsOf(event))));
    Object.assign(event, { id, time }); // an event that comes back has a new id
    this.onChange();
  }

  private async erase(event: Annotation): Promise<void> {
    this.events = this.events.filter((each) => each !== event);
    if (this.selected === event) this.selected = null;
    this.arrange();
    await this.send(() => api.removeAnnotation(this.video, event.id));
  }
}
