// The address of the picture that reaches a node's input `frames`, if a node before it shows or loads one.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const FARTHEST = 8;
const FRAMES = "frames";
// Nodes that may change a picture's size and number, and leave each thing at its place in it.
const SAME_PLACES = new Set([
  "ImageFromBatch",
  "ImageScale",
  "ImageScaleBy",
  "ImageScaleToMaxDimension",
  "ImageScaleToTotalPixels",
  "ImageUpscaleWithModel",
  "RepeatImageBatch",
]);

const view = (file) => api.apiURL(`/view?${new URLSearchParams(file)}`);

// What the widget of Load Image holds: "folder/name.png [input]".
function loadedFile(node) {
  const name = node.widgets?.find((widget) => widget.name === "image")?.value;
  if (typeof name !== "string" || !name) return null;
  const [, path, type = "input"] = name.match(/^(.*?)(?: \[(\w+)\])?$/);
  const cut = path.lastIndexOf("/");
  return { filename: path.slice(cut + 1), subfolder: path.slice(0, Math.max(cut, 0)), type };
}

// Within a subgraph, another node of the whole graph may have the same id.
const placeOf = (node) => (node.graph?.isRootGraph === false ? `${node.graph.id}:${node.id}` : node.id);

function shownFile(node) {
  const file = app.nodeOutputs?.[placeOf(node)]?.images?.[0];
  return file && /\.(png|jpe?g|webp|gif)$/i.test(file.filename) ? file : null;
}

function feedOf(node, isInput) {
  const index = node.inputs?.findIndex((input) => input.link != null && isInput(input)) ?? -1;
  return index < 0 ? null : node.getInputNode?.(index);
}

// A reroute takes anything, and passes it on as it is. Crops, turns and whatever is not known here may move things.
function keepsPlaces(node) {
  if (node.widgets?.some((widget) => widget.name === "crop" && widget.value !== "disabled")) return false;
  return SAME_PLACES.has(node.comfyClass) || node.inputs?.every((input) => input.type === "*");
}

function pictureBefore(node, mayPass) {
  let feed = feedOf(node, (input) => input.name === FRAMES);
  for (let hops = 0; feed && hops < FARTHEST; hops++) {
    const file = shownFile(feed) ?? (feed.comfyClass?.startsWith("LoadImage") ? loadedFile(feed) : null);
    if (file) return view({ subfolder: "", type: "output", ...file });
    if (!mayPass(feed)) return null;
    feed = feedOf(feed, (input) => input.type === "IMAGE" || input.type === "*");
  }
  return null;
}

// The picture on which a path can be drawn: everything in it lies where it does in the one that reaches the node.
export const connectedPicture = (node) => pictureBefore(node, keepsPlaces);

// The picture that the one which reaches the node is made from, by whatever nodes: it tells when another was chosen.
export const firstPicture = (node) => pictureBefore(node, () => true);
