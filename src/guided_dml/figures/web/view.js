// The map: what of it is seen, how it is drawn, and what the pointer does.
const map = $("#map"), marks = $("#marks"), ink = marks.getContext("2d"), raster = new Raster(map);
let group, set, hovered = -1, opened = null, lasso = null, waiting = false, rest = 0;
// x and y are the middle; home is the scale, pixels a unit, at which everything is seen.
const view = { x: 0, y: 0, zoom: 1, home: 1, width: 1, height: 1 };
const scale = () => view.home * view.zoom;
const toX = (x) => view.width / 2 + (x - view.x) * scale();
const toY = (y) => view.height / 2 - (y - view.y) * scale();

// See everything. Sets in one window show, when they are changed, what moved.
function reset() {
  const windows = (group.oneWindow ? group.sets : [set]).map((s) => s.window);
  const x0 = Math.min(...windows.map((w) => w[0])), x1 = Math.max(...windows.map((w) => w[0] + w[2]));
  const y0 = Math.min(...windows.map((w) => w[1])), y1 = Math.max(...windows.map((w) => w[1] + w[3]));
  const home = 0.9 * Math.min(view.width / (x1 - x0 || 1e-9), view.height / (y1 - y0 || 1e-9));
  Object.assign(view, { x: (x0 + x1) / 2, y: (y0 + y1) / 2, zoom: 1, home });
  draw();
}

// Zoom about a place on the canvas: up to where one step of the coordinates is 4 pixels wide, about
// 250 times with 16 bits; there is nothing more to be seen.
function zoom(factor, px = view.width / 2, py = view.height / 2) {
  const most = Math.max(8, 4 / (Math.max(set.stepX, set.stepY) * view.home));
  const change = Math.min(most, Math.max(0.5, view.zoom * factor)) / view.zoom;
  view.x += ((px - view.width / 2) / scale()) * (1 - 1 / change);
  view.y -= ((py - view.height / 2) / scale()) * (1 - 1 / change);
  view.zoom *= change;
  move();
}
function pan(dx, dy) { view.x -= dx / scale(); view.y += dy / scale(); move(); }
// While the map moves, dots of very many points are single pixels.
function move() {
  clearTimeout(rest);
  rest = setTimeout(() => { rest = 0; draw(); }, 150);
  draw();
}
const MANY = 200000;

const ratio = () => Math.min(2, devicePixelRatio || 1);
// Pixels of a dot: smaller where there are many, larger as one comes closer.
function radius() {
  const room = Math.sqrt((view.width * view.height) / Math.max(1, set.near.length + set.faded.length));
  return Math.min(7, Math.min(4.2, Math.max(0.8, 0.4 * room)) * Math.max(1, view.zoom) ** 0.3);
}
const placeOf = (some) => ({
  ax: toX(some.window[0]) * ratio(), ay: toY(some.window[1]) * ratio(),
  bx: some.stepX * scale() * ratio(), by: -some.stepY * scale() * ratio(),
});

function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; drawPoints(); drawMarks(); });
}
function drawPoints() {
  const r = Math.round(radius() * ratio() * 8) / 8, behind = group.sets[set.reference], background = behind.background ?? [];
  const place = placeOf(set), quick = rest && set.near.length + set.faded.length + background.length > MANY;
  raster.begin(Math.round(view.width * ratio()), Math.round(view.height * ratio()));
  const small = quick ? null : raster.stamp(Math.max(0.8, r * 0.7), { opacity: 0.8 });
  if (behind !== set) raster.draw(behind.drawn, background, group.pale, placeOf(behind), small);
  const dot = quick ? null : raster.stamp(r, { opacity: 0.9, edge: r > 1.2 ? 0.5 * ratio() : 0 });
  raster.draw(set.drawn, set.faded, group.faded, place, dot);
  raster.draw(set.drawn, set.near, group.pixels, place, dot);
  const ring = Math.max(r, 2 * ratio());
  raster.draw(set.drawn, set.ringed, group.dark, place, raster.stamp(ring + 1.6 * ratio(), { inner: ring + 0.3 * ratio(), opacity: 0.9 }));
  raster.end();
}

// What changes with the pointer is drawn over the points.
function drawMarks() {
  const r = Math.max(5, radius() + 2);
  ink.setTransform(ratio(), 0, 0, ratio(), 0, 0);
  ink.clearRect(0, 0, view.width, view.height);
  if (opened && opened.set === set) {
    const x = toX(xOf(set, opened.point)), y = toY(yOf(set, opened.point)), { other, rows } = opened.found;
    ink.lineWidth = 1.2; ink.strokeStyle = "#222b";
    for (const row of rows) {
      ink.beginPath(); ink.moveTo(x, y); ink.lineTo(toX(xOf(other, row)), toY(yOf(other, row))); ink.stroke();
    }
    for (const row of rows) mark(other, row, r - 1);
    mark(set, opened.point, r + 2);
  }
  if (hovered >= 0) mark(set, hovered, r);
  if (lasso) {
    ink.beginPath(); lasso.forEach(([px, py]) => ink.lineTo(px, py)); ink.closePath();
    ink.fillStyle = "#1d5fbf1c"; ink.fill(); ink.strokeStyle = "#1d5fbf"; ink.lineWidth = 1.5; ink.stroke();
  }
}
function mark(some, i, r) {
  ink.beginPath(); ink.arc(toX(xOf(some, i)), toY(yOf(some, i)), r, 0, 7);
  ink.fillStyle = group.colours[some.labels[i]]; ink.fill();
  ink.lineWidth = 3.5; ink.strokeStyle = "#fff"; ink.stroke();
  ink.lineWidth = 1.5; ink.strokeStyle = "#111"; ink.stroke();
}

// Return the shown point nearest to a place on the canvas, at most so many pixels away, or -1.
function pick(px, py, reach = 14) {
  const { ax, ay, bx, by } = placeOf(set), { side, size, starts, points } = set.grid, sharp = ratio();
  const cell = (at, from, step) => Math.min(side - 1, Math.max(0, Math.floor((at * sharp - from) / step / size)));
  let best = reach ** 2, found = -1;
  for (let row = cell(py + reach, ay, by); row <= cell(py - reach, ay, by); row++) {
    const first = row * side + cell(px - reach, ax, bx), last = row * side + cell(px + reach, ax, bx);
    for (let p = starts[first]; p < starts[last + 1]; p++) {
      const i = points[p], d = (toX(xOf(set, i)) - px) ** 2 + (toY(yOf(set, i)) - py) ** 2;
      if (d < best && set.shown[i]) { best = d; found = i; }
    }
  }
  return found;
}

// Return which shown points are inside a closed line: its inside is filled, and looked up there.
function inside(line) {
  const pen = new OffscreenCanvas(Math.ceil(view.width), Math.ceil(view.height)).getContext("2d");
  pen.beginPath(); line.forEach(([px, py]) => pen.lineTo(px, py)); pen.fill();
  const { data, width, height } = pen.getImageData(0, 0, pen.canvas.width, pen.canvas.height);
  const found = new Uint8Array(set.count);
  for (let i = 0; i < set.count; i++) {
    const px = Math.floor(toX(xOf(set, i))), py = Math.floor(toY(yOf(set, i)));
    if (set.shown[i] && px >= 0 && px < width && py >= 0 && py < height && data[4 * (py * width + px) + 3] > 127) found[i] = 1;
  }
  return found;
}

function hover(px, py) {
  hovered = pick(px, py);
  const card = $("#card"), [image, title, name] = card.children;
  card.hidden = hovered < 0;
  drawMarks();
  if (hovered < 0) return;
  paint(image, set, hovered, 112);
  title.textContent = group.classes[set.labels[hovered]];
  name.textContent = [nameOf(set, hovered), noteOf(set, hovered)].filter(Boolean).join(" \u00b7 ");
  const left = px + 18 + card.offsetWidth > view.width ? px - 18 - card.offsetWidth : px + 18;
  card.style.left = `${Math.max(4, Math.min(left, view.width - card.offsetWidth - 4))}px`;
  card.style.top = `${Math.max(4, Math.min(py - 20, view.height - card.offsetHeight - 4))}px`;
}
function leave() { hovered = -1; $("#card").hidden = true; drawMarks(); }

// Pointers that are down, by their ids, and what the first of them has done.
const down = new Map();
let drag = null;
const at = (event) => { const box = map.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
map.onpointerdown = (event) => {
  if (event.button) return;
  const [px, py] = at(event);
  down.set(event.pointerId, [px, py]); map.setPointerCapture(event.pointerId);
  drag = { px, py, moved: down.size > 1 };
  if (down.size > 1) lasso = null;
  else if (event.shiftKey || $("#lasso").ariaPressed === "true") lasso = [[px, py]];
  map.classList.toggle("held", !lasso);
};
map.onpointermove = (event) => {
  const [px, py] = at(event), before = down.get(event.pointerId);
  if (!before) return hover(px, py);
  if (down.size === 2) {
    // Two fingers: the middle between them moves the map, their distance zooms it.
    const [ox, oy] = [...down].find(([id]) => id !== event.pointerId)[1];
    pan((px - before[0]) / 2, (py - before[1]) / 2);
    zoom(Math.hypot(px - ox, py - oy) / (Math.hypot(before[0] - ox, before[1] - oy) || 1), (px + ox) / 2, (py + oy) / 2);
  } else if (drag.moved || Math.hypot(px - drag.px, py - drag.py) > 4) {
    if (!drag.moved) { drag.moved = true; leave(); }
    if (lasso) { lasso.push([px, py]); drawMarks(); } else pan(px - before[0], py - before[1]);
  } else return;
  down.set(event.pointerId, [px, py]);
};
map.onpointerup = map.onpointercancel = (event) => {
  if (!down.delete(event.pointerId)) return;
  const line = lasso, [px, py] = at(event);
  lasso = null; map.classList.remove("held");
  if (!drag.moved && event.type === "pointerup") { hover(px, py); open(hovered); }
  else if (line && line.length > 2) select(inside(line));
  if (event.pointerType === "touch" && drag.moved) leave();
  drawMarks();
};
map.onpointerleave = (event) => { if (event.pointerType !== "touch") leave(); };
map.ondblclick = reset;
map.onwheel = (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY / 500), ...at(event)); };
map.onkeydown = (event) => {
  const keys = {
    ArrowLeft: () => pan(60, 0), ArrowRight: () => pan(-60, 0), ArrowUp: () => pan(0, 60), ArrowDown: () => pan(0, -60),
    "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3), 0: reset,
  };
  if (!keys[event.key] || event.ctrlKey || event.metaKey) return;
  event.preventDefault(); keys[event.key]();
};
