"use strict";
// The map: training images as dots, the user's images on it, lines to their neighbours.
const $ = (selector) => document.querySelector(selector);
const map = $("#map"), marks = $("#marks"), card = $("#card");
const view = { x: 0, y: 0, scale: 1 };
let points = null, shown = null, pointed = -1;

// The colours of the project's figures: told apart easily up to 20 classes.
const TAB10 = "1f77b4 ff7f0e 2ca02c d62728 9467bd 8c564b e377c2 7f7f7f bcbd22 17becf".split(" ");
const TAB20 = "1f77b4 aec7e8 ff7f0e ffbb78 2ca02c 98df8a d62728 ff9896 9467bd c5b0d5 8c564b c49c94 e377c2 f7b6d2 7f7f7f c7c7c7 bcbd22 dbdb8d 17becf 9edae5".split(" ");
function coloursOf(count) {
  if (count <= 20) return (count <= 10 ? TAB10 : TAB20).slice(0, count).map((hex) => `#${hex}`);
  const tones = [[0.95, 0.85], [0.6, 0.95], [0.9, 0.6], [0.5, 0.75]];
  return Array.from({ length: count }, (_, i) => {
    const hue = (i * 0.618034) % 1, [saturation, value] = tones[i % 4];
    const part = (n) => { const k = (n + 6 * hue) % 6; return value * (1 - saturation * Math.max(0, Math.min(k, 4 - k, 1))); };
    return "#" + [5, 3, 1].map((n) => Math.round(255 * part(n)).toString(16).padStart(2, "0")).join("");
  });
}
const colour = (name) => points.colours[points.classes.indexOf(name)] ?? "#222";

// Invisible characters of names are written out; nothing of a name is ever read as HTML.
function visible(name) {
  const escaped = (c) => (/[\u200c\u200d]/.test(c) ? c : `\\u${c.codePointAt(0).toString(16).padStart(4, "0")}`);
  const text = name.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, escaped);
  return text.trim() ? text : `"${text}"`;
}

const numbers = (text) => new Uint16Array(bytesOf(text).buffer);
function prepare(content) {
  points = { ...content, labels: numbers(content.labels), colours: coloursOf(content.classes.length) };
  points.x = Float32Array.from(numbers(content.x), (step) => content.low[0] + step * content.step[0]);
  points.y = Float32Array.from(numbers(content.y), (step) => content.low[1] + step * content.step[1]);
  points.pixels = pixelsOf(points.colours);
  points.order = shuffled(points.x.length);
}

const ratio = () => devicePixelRatio || 1;
const toX = (x) => map.clientWidth / 2 + (x - view.x) * view.scale;
const toY = (y) => map.clientHeight / 2 - (y - view.y) * view.scale;
// Above the highest point there is room for the image that stands there, and the tools.
const TOP = 56;
// Show all training images, and what the user's images add.
function fit() {
  const places = items.filter((item) => item.answer).map((item) => item.answer.place), { low, step } = points;
  const ends = [0, 1].map((d) => [low[d], low[d] + 65535 * step[d], ...places.map((place) => place[d])]);
  const [[x0, x1], [y0, y1]] = ends.map((all) => [Math.min(...all), Math.max(...all)]);
  // Of an axis without spread everything fits.
  const most = Math.min(map.clientWidth / (x1 - x0), Math.max(9, map.clientHeight - TOP) / (y1 - y0));
  const scale = 0.9 * (most < Infinity ? most : 1);
  Object.assign(view, { x: (x0 + x1) / 2, y: (y0 + y1) / 2 + TOP / 2 / scale, scale });
  draw();
}
const inSight = ([x, y]) => Math.abs(x - view.x) * view.scale < map.clientWidth / 2 && Math.abs(y - view.y) * view.scale < map.clientHeight / 2;

const raster = new Raster(map);
function draw() {
  const [width, height] = [map.clientWidth, map.clientHeight], scale = view.scale * ratio();
  if (!(width && height)) return;
  raster.begin(Math.round(width * ratio()), Math.round(height * ratio()));
  const radius = Math.min(4.2, Math.max(0.8, 0.4 * Math.sqrt((width * height) / points.x.length)));
  const place = { ax: (width / 2) * ratio() - view.x * scale, bx: scale, ay: (height / 2) * ratio() + view.y * scale, by: -scale };
  raster.draw(points, points.order, points.pixels, place, raster.stamp(radius * ratio(), { opacity: 0.9, edge: radius > 1.2 ? 0.5 * ratio() : 0 }));
  raster.end();
  drawMarks();
}
function drawMarks() {
  marks.width = marks.clientWidth * ratio(); marks.height = marks.clientHeight * ratio();
  const pen = marks.getContext("2d");
  pen.scale(ratio(), ratio());
  if (shown?.answer) {
    pen.fillStyle = "#fff9"; pen.fillRect(0, 0, marks.clientWidth, marks.clientHeight);
    const [x, y] = shown.answer.place.map((value, d) => (d ? toY : toX)(value));
    pen.strokeStyle = "#3338"; pen.lineWidth = 1;
    for (const n of shown.answer.neighbour_numbers) {
      pen.beginPath(); pen.moveTo(x, y); pen.lineTo(toX(points.x[n]), toY(points.y[n])); pen.stroke();
    }
    for (const n of shown.answer.neighbour_numbers) ring(pen, n, 4.5, 1.2);
  }
  for (const item of items) if (item !== shown) drawImage(pen, item, 20);
  if (pointed >= 0) ring(pen, pointed, 6.5, 2);
  if (shown) drawImage(pen, shown, 44);
}
function ring(pen, n, radius, width) {
  pen.beginPath(); pen.arc(toX(points.x[n]), toY(points.y[n]), radius, 0, 7);
  pen.fillStyle = points.colours[points.labels[n]]; pen.fill();
  pen.strokeStyle = "#111"; pen.lineWidth = width; pen.stroke();
}
// An image stands above its place, with a frame in the colour of its class, or dashed.
function drawImage(pen, { answer, seen }, side) {
  if (!answer || !seen.complete) return;
  const x = toX(answer.place[0]), y = toY(answer.place[1]), k = side / Math.max(seen.width, seen.height), w = k * seen.width, h = k * seen.height;
  const gap = side > 30 ? 14 : 0, left = x - w / 2, top = gap ? (y - h - gap < 4 ? y + gap : y - h - gap) : y - h / 2;
  pen.imageSmoothingEnabled = k < 2;
  if (gap) { pen.beginPath(); pen.arc(x, y, 5, 0, 7); pen.fillStyle = "#fff"; pen.fill(); pen.strokeStyle = "#111"; pen.lineWidth = 3; pen.stroke(); }
  pen.fillStyle = "#fff"; pen.fillRect(left - 4, top - 4, w + 8, h + 8);
  pen.drawImage(seen, left, top, w, h);
  pen.strokeStyle = answer.known ? colour(answer.label) : "#b54708"; pen.lineWidth = 3;
  pen.setLineDash(answer.known ? [] : [4, 3]); pen.strokeRect(left - 2.5, top - 2.5, w + 5, h + 5); pen.setLineDash([]);
}

function zoom(factor, px = map.clientWidth / 2, py = map.clientHeight / 2) {
  const dx = px - map.clientWidth / 2, dy = map.clientHeight / 2 - py;
  view.x += (dx / view.scale) * (1 - 1 / factor); view.y += (dy / view.scale) * (1 - 1 / factor); view.scale *= factor;
  soon();
}
let waiting = false;
function soon() {
  if (!waiting) requestAnimationFrame(() => { waiting = false; draw(); });
  waiting = true;
}
// Where the pointers that are down were last, by their ids.
const down = new Map();
// A pointer moves the map; of two each does so by half, and their distance zooms it.
function drag(id, px, py) {
  const [bx, by] = down.get(id), other = [...down.keys()].find((each) => each !== id);
  down.set(id, [px, py]);
  pointAt(-1);
  view.x -= (px - bx) / view.scale / down.size; view.y += (py - by) / view.scale / down.size;
  if (other === undefined) return soon();
  const [ox, oy] = down.get(other), apart = (x, y) => Math.max(1, Math.hypot(x - ox, y - oy));
  zoom(apart(px, py) / apart(bx, by), (px + ox) / 2, (py + oy) / 2);
}
function point({ pointerId, offsetX: px, offsetY: py }) {
  if (down.has(pointerId)) return drag(pointerId, px, py);
  let best = 12 ** 2, found = -1;
  for (let i = 0; i < points.x.length; i++) {
    const d = (toX(points.x[i]) - px) ** 2 + (toY(points.y[i]) - py) ** 2;
    if (d < best) { best = d; found = i; }
  }
  pointAt(found);
  if (found < 0) return;
  const left = px + 18 + card.offsetWidth > map.clientWidth ? px - 18 - card.offsetWidth : px + 18;
  card.style.left = `${Math.max(4, left)}px`;
  card.style.top = `${Math.max(4, Math.min(py - 20, map.clientHeight - card.offsetHeight - 4))}px`;
}
function pointAt(number) {
  card.hidden = number < 0;
  if (number === pointed) return;
  pointed = number;
  if (number >= 0) {
    card.firstChild.src = `/neighbours/${number}`;
    card.lastChild.textContent = visible(points.classes[points.labels[number]]);
  }
  drawMarks();
}

map.onpointermove = (event) => points && point(event);
map.onpointerleave = () => pointAt(-1);
map.onpointerdown = ({ button, pointerId, offsetX, offsetY }) => {
  if (button) return;
  down.set(pointerId, [offsetX, offsetY]); map.classList.add("held"); map.setPointerCapture(pointerId);
};
map.onpointerup = map.onpointercancel = ({ pointerId }) => { down.delete(pointerId); map.classList.toggle("held", down.size > 0); };
map.onwheel = (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY / 500), event.offsetX, event.offsetY); };
map.ondblclick = $("#reset").onclick = () => fit();
$("#in").onclick = () => zoom(1.5);
$("#out").onclick = () => zoom(1 / 1.5);
map.onkeydown = ({ key, ctrlKey, metaKey }) => {
  if (ctrlKey || metaKey) return;
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[key] ?? [0, 0];
  if (key === "0") fit();
  else if (key === "+" || key === "-") zoom(key === "+" ? 1.5 : 1 / 1.5);
  else if (dx || dy) { view.x += (60 * dx) / view.scale; view.y += (60 * dy) / view.scale; soon(); }
};
addEventListener("resize", () => points && fit());
