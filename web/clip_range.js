// Shows on Load Clip which frames its widgets take, whenever one of them changes. After a run, the node shows the same.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const NODE = "TAVLoadClip";
// Milliseconds without a change, so that not every digit that is typed is asked for.
const PAUSE = 300;

async function showRange(node) {
  const linked = node.inputs?.some((input) => input.widget && input.link != null);
  if (linked || node.graph !== app.canvas.graph) return;
  const widgets = Object.fromEntries(node.widgets.map((widget) => [widget.name, widget.value]));
  const answer = await api.fetchApi("/tune_a_video/clip_range", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(widgets),
  });
  const { text } = answer.ok ? await answer.json() : {};
  if (text) api.dispatchCustomEvent("progress_text", { nodeId: String(node.id), text });
}

app.registerExtension({
  name: "TuneAVideo.ClipRange",
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    let pause;
    for (const widget of node.widgets) {
      const callback = widget.callback;
      widget.callback = function (...args) {
        clearTimeout(pause);
        pause = setTimeout(() => showRange(node), PAUSE);
        return callback?.apply(this, args);
      };
    }
  },
});
