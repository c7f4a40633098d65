/** The HTTP API of avel serve, as described at /openapi.json. */

export type VideoStatus =
  | "queued" | "running" | "ok" | "partial" | "quarantined" | "failed" | "cancelled";

export interface Video {
  id: string;
  name: string;
  source: "upload" | "folder";
  size: number;
  created: string;
  status: VideoStatus;
  reason: string | null;
  duration: number | null;
  seconds: number;
  events: number;
  model: string | null;
  job: string | null;
  corrected: boolean;
}

export interface Job {
  id: string;
  kind: "label" | "train";
  video: string | null;
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  done: number;
  total: number | null;
  unit: "seconds" | "steps";
  message: string | null;
  error: string | null;
  created: string;
  result: TrainingResult | null;
}

/** Identifiers of a video that was accepted and of its job. */
export interface Accepted {
  job: string;
  video: string;
}

export interface TrainingResult {
  model: string;
  classes: string[];
  corrections: number;
  held_out: { stretches: number; seconds: number } | null;
  present: { accuracy: number } | null;
  next: { accuracy: number } | null;
  difference: { mean: number; low: number; high: number } | null;
}

export type AnnotationStatus =
  | "predicted" | "accepted" | "changed" | "added" | "rejected" | "background";

export interface Annotation {
  id: string;
  label: string;
  start: number;
  end: number;
  score: number | null;
  status: AnnotationStatus;
  predicted?: string | null;
  author: string | null;
  time: string | null;
}

/** Fields that a person may change. */
export interface Fields {
  label: string;
  start: number;
  end: number;
  status: AnnotationStatus;
}

export interface LabelScore {
  label: string;
  score: number;
}

export interface SecondScores {
  start: number;
  end: number;
  label: string | null;
  both: LabelScore[];
  visual: LabelScore[];
  audio: LabelScore[];
}

export interface Scores {
  labels: string[];
  valid: number[];
  scores: number[][];
}

export interface Info {
  version: string;
  /** Null while the model is loaded. */
  model: string | null;
  labels: string[];
  all_labels: string[];
  evidence: boolean;
  limits: { upload_bytes: number; duration_s: number; queue: number };
  needs_token: boolean;
  teachable: boolean;
  ready: boolean;
  problem: string | null;
}

export interface FolderFile {
  path: string;
  size: number;
  video: string | null;
}

export interface ReviewItem extends Annotation {
  video: string;
  name: string;
}

export interface ReviewCurve {
  label: string;
  reviewed: number;
  accepted: number;
  curve: { score: number; precision: number; low: number; high: number }[];
  threshold: number | null;
}

export interface ModelVersion {
  name: string;
  labels: string[];
  created: string | null;
  active: boolean;
  note: string;
}

export interface Match {
  video: string;
  name: string;
  start: number;
  end: number;
  label: string | null;
  similarity: number;
}

/** An error that the server answered with, or `status` 0 where it gave no answer. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly retryAfter = 0,
  ) {
    super(message);
  }
}

const UNREACHABLE = "The server does not answer. Is avel serve still running?";
let onUnauthorized: () => void = () => {};

/** Sets the function that asks for the token. */
export function whenUnauthorized(ask: () => void): void {
  onUnauthorized = ask;
}

function toError(status: number, body: string, retryAfter: string | null): ApiError {
  if (status === 401) onUnauthorized();
  let message = `The server answered with status ${status}.`;
  try {
    message = (JSON.parse(body) as { error: { message: string } }).error.message || message;
  } catch {
    // Not the server's own error: perhaps that of a proxy.
  }
  return new ApiError(message, status, Number(retryAfter) || 0);
}

async function request(method: string, path: string, body?: unknown): Promise<Response> {
  const init: RequestInit = { method, credentials: "same-origin" };
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { "Content-Type": "application/json" };
  }
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new ApiError(UNREACHABLE, 0);
  }
  if (response.ok) return response;
  throw toError(response.status, await response.text(), response.headers.get("Retry-After"));
}

async function json<T>(method: string, path: string, body?: unknown): Promise<T> {
  return (await (await request(method, path, body)).json()) as T;
}

const API = "/api/v1";

/** Address of something that belongs to a video. */
export function videoUrl(id: string, rest = ""): string {
  return `${API}/videos/${encodeURIComponent(id)}${rest}`;
}

const annotationUrl = (video: string, id: string): string =>
  videoUrl(video, `/annotations/${encodeURIComponent(id)}`);

export const api = {
  info: () => json<Info>("GET", `${API}/info`),
  login: (token: string) => request("POST", `${API}/login`, { token }),
  folder: () => json<{ files: FolderFile[]; truncated: boolean }>("GET", `${API}/folder`),
  videos: async () => (await json<{ videos: Video[] }>("GET", `${API}/videos`)).videos,
  video: (id: string) => json<Video>("GET", videoUrl(id)),
  addPath: (path: string) => json<Accepted>("POST", `${API}/videos`, { path }),
  removeVideo: (id: string) => request("DELETE", videoUrl(id)),
  jobs: async () => (await json<{ jobs: Job[] }>("GET", `${API}/jobs`)).jobs,
  job: (id: string) => json<Job>("GET", `${API}/jobs/${encodeURIComponent(id)}`),
  cancelJob: (id: string) => request("DELETE", `${API}/jobs/${encodeURIComponent(id)}`),
  waveform: async (id: string) =>
    new Int8Array(await (await request("GET", videoUrl(id, "/waveform"))).arrayBuffer()),
  scores: (id: string) => json<Scores>("GET", videoUrl(id, "/scores")),
  second: (id: string, second: number) =>
    json<SecondScores>("GET", videoUrl(id, `/seconds/${second}`)),
  annotations: async (id: string) =>
    (await json<{ annotations: Annotation[] }>("GET", videoUrl(id, "/annotations"))).annotations,
  addAnnotation: (id: string, fields: Partial<Fields> & { author?: string }) =>
    json<Annotation>("POST", videoUrl(id, "/annotations"), fields),
  changeAnnotation: (
    video: string, id: string, fields: Partial<Fields> & { author?: string },
  ) => json<Annotation>("PATCH", annotationUrl(video, id), fields),
  removeAnnotation: (video: string, id: string) => request("DELETE", annotationUrl(video, id)),
  review: (order: string, label: string, limit: number) => {
    const query = new URLSearchParams({ order, limit: String(limit) });
    if (label) query.set("label", label);
    return json<{ events: ReviewItem[]; total: number }>("GET", `${API}/review?${query}`);
  },
  reviewCurve: (label: string, precision: number) =>
    json<ReviewCurve>(
      "GET", `${API}/review/curve?${new URLSearchParams({ label, precision: String(precision) })}`,
    ),
  writeThreshold: (label: string, precision: number) =>
    json<{ model: string; threshold: number }>(
      "POST", `${API}/review/threshold`, { label, precision },
    ),
  train: () => json<{ job: string }>("POST", `${API}/train`, {}),
  models: async () => (await json<{ models: ModelVersion[] }>("GET", `${API}/models`)).models,
  useModel: (name: string) => request("POST", `${API}/models/active`, { name }),
  search: async (video: string, second: number, limit: number) =>
    (await json<{ matches: Match[] }>("POST", `${API}/search`, { video, second, limit })).matches,
};

/** An upload in progress; `fetch` reports none, so this is an XMLHttpRequest. */
export function upload(
  file: File, onProgress: (share: number) => void,
): { finished: Promise<Accepted>; cancel: () => void } {
  const http = new XMLHttpRequest();
  const finished = new Promise<Accepted>((resolve, reject) => {
    http.upload.onprogress = (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    };
    http.onload = () => {
      if (http.status < 300) resolve(JSON.parse(http.responseText) as Accepted);
      else reject(toError(http.status, http.responseText, http.getResponseHeader("Retry-After")));
    };
    http.onerror = () => reject(new ApiError(UNREACHABLE, 0));
    http.onabort = () => reject(new ApiError("The upload was cancelled.", -1));
  });
  const form = new FormData();
  form.append("file", file);
  http.open("POST", `${API}/videos`);
  http.send(form);
  return { finished, cancel: () => http.abort() };
}
