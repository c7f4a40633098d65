/** The dialog that offers the results in every format. */

import { videoUrl } from "./api";
import { h } from "./dom";
import { openDialog } from "./keyboard";

const FORMATS: [format: string, use: string][] = [
  ["csv", "spreadsheets"],
  ["seconds", "spreadsheets, a row per second"],
  ["vtt", "subtitles on the web"],
  ["srt", "subtitles"],
  ["jsonl", "everything, for programs"],
  ["labelstudio", "Label Studio"],
  ["eaf", "ELAN"],
  ["textgrid", "Praat"],
  ["audacity", "Audacity"],
  ["raven", "Raven"],
  ["edl", "video editors"],
  ["otio", "OpenTimelineIO"],
  ["chapters", "chapters"],
  ["fiftyone", "FiftyOne"],
  ["activitynet", "ActivityNet JSON"],
  ["dcase", "DCASE and sed_eval"],
  ["parquet", "pandas and Spark"],
];

export function showDownloads(video: string, corrected: boolean): void {
  const box = h("input", { type: "checkbox" });
  box.checked = corrected;
  const links = FORMATS.map(([format, use]) => {
    const link = h("a", { download: true, "data-format": format }, h("strong", {}, format), ` ${use}`);
    return { link, format };
  });
  const point = () => {
    for (const { link, format } of links) {
      link.href = videoUrl(video, `/results?format=${format}&corrected=${box.checked}`);
    }
  };
  box.addEventListener("change", point);
  point();
  openDialog("Download",
    h("p", {}, h("label", {}, box, " with the corrections")),
    h("ul", { class: "columns plain" }, ...links.map(({ link }) => h("li", {}, link))));
}
