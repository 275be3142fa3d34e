// A picture with a path over it that the mouse draws. It knows nothing of ComfyUI: it reads and writes points, pairs of
// fractions of the picture.
//
//   drag on the picture      draws a new path
//   click on the picture     adds a point to the end
//   drag a point             moves it
//   double-click a point     removes it
const SVG = "http://www.w3.org/2000/svg";
// Pixels of the screen.
const GRAB = 10;
const SLIP = 4;
const SIDE = 1000;
// How far, in fractions of the picture, a drawn line may be from its corners.
const TOLERANCE = 0.006;
const DIGITS = 4;
const HINT = "drag: draw · click: add a point · double-click a point: remove it";
const LOCKED = "the path comes from the wire";

const round = (value) => Number(value.toFixed(DIGITS));

function make(name, attributes = {}) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function offLine([x, y], [left, top], [right, bottom]) {
  const [dx, dy] = [right - left, bottom - top];
  const share = ((x - left) * dx + (y - top) * dy) / (dx * dx + dy * dy || 1);
  const at = Math.min(1, Math.max(0, share));
  return Math.hypot(x - left - at * dx, y - top - at * dy);
}

// The corners of a line that was drawn by hand (Ramer, Douglas and Peucker).
function simplify(points) {
  const [first, last] = [points[0], points[points.length - 1]];
  let [farthest, at] = [TOLERANCE, 0];
  for (let index = 1; index < points.length - 1; index++) {
    const off = offLine(points[index], first, last);
    if (off > farthest) [farthest, at] = [off, index];
  }
  if (!at) return points.length > 1 ? [first, last] : points;
  return [...simplify(points.slice(0, at + 1)).slice(0, -1), ...simplify(points.slice(at))];
}

export class Drawing {
  constructor({ read, write, locked }) {
    Object.assign(this, { read, write, locked, size: [SIDE, SIDE], held: null });
    this.build();
    this.listen();
    this.draw();
  }

  build() {
    this.element = document.createElement("div");
    this.element.className = "tav-motion-path";
    this.element.style.cssText = "display:flex;flex-direction:column;gap:2px;width:100%;height:100%;min-height:0";
    this.pad = make("svg", { preserveAspectRatio: "xMidYMid meet" });
    this.pad.style.cssText =
      "flex:1;min-height:0;width:100%;background:#0003;border-radius:4px;touch-action:none;user-select:none;cursor:crosshair";
    this.picture = make("image", { preserveAspectRatio: "none" });
    this.paper = make("rect", { fill: "none", stroke: "#8888", "vector-effect": "non-scaling-stroke" });
    this.marks = make("g");
    this.pad.append(this.picture, this.paper, this.marks);
    const foot = document.createElement("div");
    foot.style.cssText = "display:flex;gap:6px;align-items:center;font-size:10px;opacity:.8;flex:none";
    this.said = document.createElement("span");
    this.said.style.cssText = "flex:1;overflow:hidden;white-space:nowrap;text-overflow:ellipsis";
    this.clear = document.createElement("button");
    this.clear.textContent = "clear";
    this.clear.style.cssText = "padding:1px 8px;border-radius:4px;border:1px solid #8888;cursor:pointer";
    foot.append(this.said, this.clear);
    this.element.append(this.pad, foot);
  }

  listen() {
    // Nodes 2.0 would drag the node along. What is not drawing goes on to the page: the middle button, and links and
    // nodes that are dragged over the picture. The default is not prevented: ComfyUI counts undo steps by mouseup.
    const own = (name, isOwn, then) =>
      this.pad.addEventListener(name, (event) => {
        if (!isOwn(event)) return;
        event.stopPropagation();
        then.call(this, event);
      });
    const draws = () => this.held !== null;
    own("pointerdown", (event) => event.button === 0, this.press);
    own("pointermove", draws, this.move);
    own("pointerup", draws, this.release);
    own("pointercancel", draws, this.release);
    own("dblclick", () => true, this.remove);
    own("click", () => true, () => {});
    this.clear.addEventListener("pointerdown", (event) => event.stopPropagation());
    this.clear.addEventListener("click", () => this.locked() || this.save([]));
  }

  // Shows the picture at an address, and takes its shape; null for none.
  show(address) {
    if (address === this.address) return;
    this.address = address;
    if (!address) {
      this.size = [SIDE, SIDE];
      this.picture.removeAttribute("href");
      return this.draw();
    }
    const image = new Image();
    image.onload = () => {
      if (this.address !== address) return;
      this.size = [SIDE, (SIDE * image.naturalHeight) / image.naturalWidth];
      this.picture.setAttribute("href", address);
      this.draw();
    };
    image.src = address;
  }

  draw(points = this.read()) {
    const [width, height] = this.size;
    this.pad.setAttribute("viewBox", `0 0 ${width} ${height}`);
    for (const each of [this.picture, this.paper]) {
      each.setAttribute("width", width);
      each.setAttribute("height", height);
    }
    const places = points.map(([x, y]) => [x * width, y * height]);
    const line = { points: places.join(" "), fill: "none", "vector-effect": "non-scaling-stroke" };
    const radius = 0.014 * width;
    this.marks.replaceChildren(
      make("polyline", { ...line, stroke: "#000a", "stroke-width": 5 }),
      make("polyline", { ...line, stroke: "#fff", "stroke-width": 2 }),
      ...places.map(([cx, cy], index) => {
        const fill = index === 0 ? "#3c6" : index === places.length - 1 ? "#e44" : "#fff";
        return make("circle", { cx, cy, r: radius * (index && index < places.length - 1 ? 0.8 : 1.4), fill });
      }),
    );
    this.said.textContent = this.locked() ? LOCKED : HINT;
  }

  save(points) {
    this.write(points.map((point) => point.map(round)));
    this.draw();
  }

  // The factor from fractions to pixels of the screen, whatever zoom and letterbox the picture is shown with.
  frame() {
    const box = this.pad.getBoundingClientRect();
    const [width, height] = this.size;
    const scale = Math.min(box.width / width, box.height / height);
    const [wide, high] = [width * scale, height * scale];
    return { left: box.left + (box.width - wide) / 2, top: box.top + (box.height - high) / 2, wide, high };
  }

  // Where the mouse is, and which point it is on: the nearest, so that no line covers a point.
  find(event) {
    const { left, top, wide, high } = this.frame();
    const at = [(event.clientX - left) / wide, (event.clientY - top) / high];
    const far = this.read().map(([x, y]) => Math.hypot((x - at[0]) * wide, (y - at[1]) * high));
    const nearest = Math.min(...far);
    return { at, point: nearest <= GRAB ? far.indexOf(nearest) : -1 };
  }

  press(event) {
    if (this.locked()) return;
    const { at, point } = this.find(event);
    this.pad.setPointerCapture(event.pointerId);
    this.held = { point, line: [at], from: [event.clientX, event.clientY], moved: false };
  }

  move(event) {
    const held = this.held;
    const [x, y] = held.from;
    held.moved ||= Math.hypot(event.clientX - x, event.clientY - y) > SLIP;
    if (!held.moved) return;
    const { at } = this.find(event);
    if (held.point < 0) {
      held.line.push(at);
      return this.draw(held.line);
    }
    held.points ??= this.read();
    held.points[held.point] = at;
    this.draw(held.points);
  }

  release(event) {
    const held = this.held;
    this.held = null;
    if (event.type === "pointercancel") return this.draw();
    if (held.points) this.save(held.points);
    else if (held.moved) this.save(simplify(held.line));
    else if (held.point < 0) this.save([...this.read(), held.line[0]]);
  }

  remove(event) {
    const { point } = this.find(event);
    if (point < 0 || this.locked()) return;
    // The double click's own first click added a point where there was none; on a point it added nothing.
    this.save(this.read().filter((_, index) => index !== point));
  }
}
