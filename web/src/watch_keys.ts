/** Keys of the view of one video. */

import type { Binding } from "./keyboard";
import type { Watch } from "./watch";

export function watchKeys(watch: Watch): Binding[] {
  const { player, annotations } = watch;
  const seek = (seconds: number) => () => player.seek(player.video.currentTime + seconds);
  return [
    { group: "Play", keys: [" "], text: "Play or pause", run: () => player.toggle() },
    { group: "Play", keys: ["ArrowLeft"], text: "One second back", run: seek(-1) },
    { group: "Play", keys: ["ArrowRight"], text: "One second on", run: seek(1) },
    { group: "Play", keys: [","], text: "One frame back", run: () => player.step(-1) },
    { group: "Play", keys: ["."], text: "One frame on", run: () => player.step(1) },
    { group: "Play", keys: ["e"], text: "Loop the event", run: () => watch.toggleLoop() },
    { group: "Play", keys: ["<"], text: "Slower", run: () => watch.changeSpeed(-1) },
    { group: "Play", keys: [">"], text: "Faster", run: () => watch.changeSpeed(1) },
    { group: "Events", keys: ["j", "ArrowDown"], text: "Next event", run: () => watch.step(1) },
    { group: "Events", keys: ["k", "ArrowUp"], text: "Previous event", run: () => watch.step(-1) },
    { group: "Events", keys: ["a"], text: "Accept, go to the next unreviewed", run: () => watch.decide("accepted") },
    { group: "Events", keys: ["r", "Delete"], text: "Reject", run: () => watch.decide("rejected") },
    { group: "Events", keys: ["b"], text: "Mark as background", run: () => watch.decide("background") },
    {
      group: "Events", keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9"], text: "Label by number", shown: "1 … 9",
      run: (event) => watch.relabelByNumber(Number(event.key)),
    },
    {
      group: "Events", keys: ["l"], text: "Type a label",
      run: () => {
        watch.editor.label.focus();
        watch.editor.label.select();
      },
    },
    { group: "Events", keys: ["i"], text: "Begin, then end a new event", run: () => watch.mark() },
    { group: "Events", keys: ["m"], text: "More like this", run: () => watch.searchSimilar() },
    { group: "Boundaries", keys: ["["], text: "Start a frame earlier", run: () => watch.nudge("start", -1) },
    { group: "Boundaries", keys: ["]"], text: "Start a frame later", run: () => watch.nudge("start", 1) },
    { group: "Boundaries", keys: ["{"], text: "End a frame earlier", run: () => watch.nudge("end", -1) },
    { group: "Boundaries", keys: ["}"], text: "End a frame later", run: () => watch.nudge("end", 1) },
    { group: "View", keys: ["+", "="], text: "Zoom in", run: () => watch.zoom(2) },
    { group: "View", keys: ["-"], text: "Zoom out", run: () => watch.zoom(0.5) },
    { group: "View", keys: ["f"], text: "Whole video", run: () => watch.fit() },
    { group: "View", keys: ["Escape"], text: "Select nothing", run: () => watch.select(null) },
    { group: "View", keys: ["mod+z"], text: "Undo", run: () => annotations.undo() },
    { group: "View", keys: ["mod+Z", "mod+y"], text: "Redo", run: () => annotations.redo() },
  ];
}
