// What the page holds: sets of points, their names, their images.
const $ = (selector) => document.querySelector(selector);
const content = JSON.parse($("#content").textContent);
const KINDS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array };

// Return the numbers behind [number of a text, type].
function numbers([text, kind]) {
  return new KINDS[kind](bytesOf(content.texts[text]).buffer);
}

// Make a set ready to be drawn, once: points in the order of drawing, and a grid to find them by.
function prepare(set) {
  if (set.count) return set;
  const bits = set.x[1] === "u2" ? 16 : 32, most = 2 ** bits - 1;
  for (const name of ["x", "y", "labels"]) set[name] = numbers(set[name]);
  set.count = set.labels.length;
  // Coordinates are steps of the window; where all are equal, steps of any size.
  set.stepX = (set.window[2] || 1e-9) / most;
  set.stepY = (set.window[3] || 1e-9) / most;
  set.shown = new Uint8Array(set.count).fill(1);
  set.selected = null;
  for (const flag of set.flags) {
    const packed = numbers(flag.bits);
    flag.of = Uint8Array.from({ length: set.count }, (_, i) => (packed[i >> 3] >> (i & 7)) & 1);
    flag.wanted = "";
  }
  if (set.neighbours) for (const name of ["rows", "distances"]) set.neighbours[name] = numbers(set.neighbours[name]);
  const order = (set.order = shuffled(set.count)), drawn = (values) => values.map((_, k) => values[order[k]]);
  set.drawn = { x: drawn(set.x), y: drawn(set.y), labels: drawn(set.labels) };
  makeGrid(set, bits);
  return set;
}

// Sort the points into square cells: those of cell c are grid.points[grid.starts[c]...].
function makeGrid(set, bits) {
  const fine = Math.min(9, Math.max(4, Math.round(Math.log2(set.count / 4) / 2)));
  const side = 2 ** fine, shift = bits - fine, starts = new Uint32Array(side * side + 1), points = new Uint32Array(set.count);
  const cell = (i) => (set.y[i] >>> shift) * side + (set.x[i] >>> shift);
  for (let i = 0; i < set.count; i++) starts[cell(i) + 1]++;
  for (let c = 0; c < side * side; c++) starts[c + 1] += starts[c];
  const next = starts.slice();
  for (let i = 0; i < set.count; i++) points[next[cell(i)]++] = i;
  set.grid = { side, size: 2 ** shift, starts, points };
}

const xOf = (set, i) => set.window[0] + set.x[i] * set.stepX;
const yOf = (set, i) => set.window[1] + set.y[i] * set.stepY;

function lines(set, what) {
  const key = `${what}Split`;
  return (set[key] ??= content.texts[set[what]].split("\n"));
}
const nameOf = (set, i) => (set.names === null ? `image ${i}` : lines(set, "names")[i]);
const noteOf = (set, i) => (set.notes === null ? "" : lines(set, "notes")[i]);

// Return the k nearest points of the reference set, and how far they are.
function neighboursOf(group, set, i, k = 8) {
  const other = prepare(group.sets[set.reference]);
  if (set.neighbours) {
    const from = i * set.neighbours.count, to = from + set.neighbours.count;
    return { other, rows: [...set.neighbours.rows.subarray(from, to)], distances: [...set.neighbours.distances.subarray(from, to)] };
  }
  const rows = [], distances = [], x = xOf(set, i), y = yOf(set, i);
  for (let j = 0; j < other.count; j++) {
    if (other === set && j === i) continue;
    const distance = (xOf(other, j) - x) ** 2 + (yOf(other, j) - y) ** 2;
    if (rows.length === k && distance >= distances[k - 1]) continue;
    let place = rows.length;
    while (place && distances[place - 1] > distance) place--;
    rows.splice(place, 0, j); distances.splice(place, 0, distance);
    rows.length = distances.length = Math.min(k, rows.length);
  }
  return { other, rows, distances: distances.map(Math.sqrt), inPlane: true };
}

// Return the number of a point's thumbnail, -1 where it has none.
function thumbnailOf(set, i) {
  const picture = content.pictures[set.picture];
  if (!picture) return -1;
  if (!picture.of) {
    const rows = numbers(picture.rows);
    picture.of = new Int32Array(rows.length ? rows[rows.length - 1] + 1 : 0).fill(-1);
    rows.forEach((row, number) => { picture.of[row] = number; });
  }
  return picture.of[i] ?? -1;
}

// Sheets are decoded when they are needed; the newest stay, up to so many pixels.
const decoded = new Map(), KEPT = 3e7;
const parsed = new Promise((done) => addEventListener("DOMContentLoaded", done));
function sheetOf(place, number) {
  const id = `sheet-${place}-${number}`;
  const found = decoded.get(id) ?? fetchSheet(id);
  decoded.delete(id); decoded.set(id, found);
  const { width, height } = content.pictures[place];
  while (decoded.size > 1 && decoded.size * content.sheet.count * width * height > KEPT) decoded.delete(decoded.keys().next().value);
  return found;
}
async function fetchSheet(id) {
  await parsed; // (the map is shown while the images below are still being read)
  const image = new Image();
  image.src = "data:image/webp;base64," + document.getElementById(id).textContent;
  await image.decode();
  return image;
}

// Draw a point's image, about so many pixels high; return whether there is one.
function paint(canvas, set, i, size) {
  const number = thumbnailOf(set, i), wanted = (canvas.wanted = `${set.picture} ${number}`);
  canvas.hidden = number < 0;
  if (number < 0) return false;
  const { width, height } = content.pictures[set.picture], { columns, count } = content.sheet;
  const scale = size / Math.max(width, height), place = number % count;
  canvas.className = scale > 1.5 ? "image coarse" : "image";
  canvas.width = width; canvas.height = height;
  canvas.style.width = `${Math.round(width * scale)}px`; canvas.style.height = `${Math.round(height * scale)}px`;
  sheetOf(set.picture, Math.floor(number / count)).then((sheet) => {
    if (canvas.wanted !== wanted) return;
    canvas.getContext("2d").drawImage(sheet, (place % columns) * width, Math.floor(place / columns) * height, width, height, 0, 0, width, height);
    canvas.dataset.painted = wanted;
  });
  return true;
}
