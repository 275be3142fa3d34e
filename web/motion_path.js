// Draws the path of Animate on the node, over the picture that is connected. The points are in its widget `path`, in
// fractions of the frame, so that they are saved with the workflow and fit every size.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { Drawing } from "./motion_drawing.js";
import { connectedPicture, firstPicture } from "./connected_picture.js";

const NODE = "TAVAnimate";
const WIDGET = "path";
const PICTURE = "tav_picture";
const HEIGHT = 240;

// Points as `parse_path` of the library reads them; none if the text is not a path (the node says so when it runs).
function readPoints(text) {
  try {
    const points = text.trim().startsWith("[") ? JSON.parse(text) : text.trim().split(/\s+/).map((p) => p.split(","));
    return points.map(([x, y]) => [Number(x), Number(y)]).filter((point) => point.every(Number.isFinite));
  } catch {
    return [];
  }
}

const writePoints = (points) => (points.length ? JSON.stringify(points) : "");

function isLinked(node) {
  return node.inputs?.some((input) => input.widget?.name === WIDGET && input.link != null);
}

function addDrawing(node) {
  const widget = node.widgets.find((each) => each.name === WIDGET);
  const drawing = new Drawing({
    read: () => readPoints(String(widget.value ?? "")),
    write: (points) => {
      // A step of undo: those that ComfyUI counts by itself begin with mouseup, and a click or double-click comes after.
      app.canvas?.emitBeforeChange?.();
      widget.value = writePoints(points);
      widget.callback?.(widget.value);
      node.graph?.setDirtyCanvas?.(true, true);
      app.canvas?.emitAfterChange?.();
    },
    locked: () => isLinked(node),
  });
  // Last, and not saved: the values of other widgets keep their places in a workflow.
  const pad = node.addDOMWidget("draw", "tav_motion_path", drawing.element, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => HEIGHT,
  });
  pad.serialize = false;
  const callback = widget.callback;
  widget.callback = function (...args) {
    drawing.draw();
    return callback?.apply(this, args);
  };
  return drawing;
}

// In the classic renderer, the drawing lies over the canvas, so that the wheel and the middle button, which zoom and
// move it, have to be handed on. Nodes 2.0 does it itself.
function handOn(element) {
  const hand = (name, isTheirs, process) =>
    element.addEventListener(name, (event) => {
      if (window.LiteGraph?.vueNodesMode || !isTheirs(event)) return;
      event.preventDefault();
      app.canvas[process](event);
    });
  hand("wheel", () => true, "processMouseWheel");
  hand("pointerdown", (event) => event.button === 1, "processMouseDown");
  hand("pointermove", (event) => event.buttons & 4, "processMouseMove");
  hand("pointerup", (event) => event.button === 1, "processMouseUp");
}

// Draws again whenever something may have changed: a workflow is loaded, a wire is connected, a node has run.
function watch(node, drawing) {
  let ran = null;
  const refresh = () => {
    drawing.show(ran ?? connectedPicture(node));
    drawing.draw();
  };
  const chain = (name, before) => {
    const own = node[name];
    node[name] = function (...args) {
      before(...args);
      const result = own?.apply(this, args);
      setTimeout(refresh);
      return result;
    };
  };
  chain("onConfigure", () => {});
  chain("onConnectionsChange", () => (ran = null));
  chain("onExecuted", (output) => {
    const [file] = output?.[PICTURE] ?? [];
    if (!file) return;
    ran = api.apiURL(`/view?${new URLSearchParams(file)}`);
    drawing.first = firstPicture(node);
  });
  // A picture that was chosen since shows as soon as somebody wants to draw on it.
  drawing.element.addEventListener("pointerenter", () => {
    const now = firstPicture(node);
    if (now && now !== drawing.first) ran = null;
    drawing.first = now;
    refresh();
  });
  setTimeout(refresh);
}

app.registerExtension({
  name: "TuneAVideo.MotionPath",
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    const drawing = addDrawing(node);
    watch(node, drawing);
    handOn(drawing.element);
  },
});
