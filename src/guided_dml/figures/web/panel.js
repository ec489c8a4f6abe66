// What stands beside the map: filters, the selection, a point and its neighbours.

// Return an element with content; text is always text, whatever it looks like.
function make(tag, options = {}, ...children) {
  const element = Object.assign(document.createElement(tag), options);
  element.append(...children);
  return element;
}
const dotOf = (colour) => { const dot = make("i"); dot.style.background = colour; return dot; };
const classOf = (label) => make("span", { className: "class" }, dotOf(group.colours[label]), make("bdi", { textContent: group.classes[label] }));
const counted = (number) => number.toLocaleString("en");

// Sort the points of the set: what is shown, what is near to it (drawn strongly), ringed or faded.
function filter() {
  const { count, labels, shown, selected, flags, order } = set, text = $("#find").value.trim().toLowerCase();
  const named = group.classes.map((name) => name.toLowerCase().includes(text));
  const wanted = flags.filter((flag) => flag.wanted).map((flag) => [flag.of, +(flag.wanted === "yes")]);
  for (let i = 0; i < count; i++) {
    shown[i] = group.shown[labels[i]] && wanted.every(([of, value]) => of[i] === value)
      && (!text || named[labels[i]] || nameOf(set, i).toLowerCase().includes(text)) ? 1 : 0;
  }
  const near = [], faded = [], ringed = [];
  for (let k = 0; k < count; k++) {
    const i = order[k];
    if (!shown[i]) continue;
    if (selected && !selected[i]) { faded.push(k); continue; }
    near.push(k);
    if (flags.some((flag) => flag.of[i])) ringed.push(k);
  }
  Object.assign(set, { near: Uint32Array.from(near), faded: Uint32Array.from(faded), ringed: Uint32Array.from(ringed) });
  const behind = group.sets[set.reference];
  if (behind !== set && $("#behind input").checked) {
    prepare(behind);
    behind.background = Uint32Array.from(behind.drawn.labels.keys()).filter((k) => group.shown[behind.drawn.labels[k]]);
  } else behind.background = null;
  $("#count").textContent = `${counted(near.length)} ${selected ? "selected" : near.length === count ? "images" : `of ${counted(count)} images`}`;
  $("#clear").hidden = !selected;
  draw();
}
function select(chosen) { set.selected = chosen && chosen.some(Boolean) ? chosen : null; filter(); }

// The lists of classes and flags.
function listClasses() {
  const counts = new Uint32Array(group.classes.length);
  for (const label of set.labels) counts[label]++;
  $("#classes").replaceChildren(...group.classes.map((name, label) => make("label", { title: name },
    make("input", { type: "checkbox", checked: group.shown[label], value: label }),
    dotOf(group.colours[label]), make("bdi", { textContent: name }), make("small", { textContent: counted(counts[label]) }))));
}
$("#classes").onchange = ({ target }) => { group.shown[target.value] = target.checked; filter(); };
$("#all").onchange = ({ target }) => {
  group.shown.fill(target.checked);
  for (const box of document.querySelectorAll("#classes input")) box.checked = target.checked;
  filter();
};
function listFlags() {
  $("#flags").replaceChildren(...set.flags.map((flag, number) => {
    const choices = { "": "all", yes: "only", no: "without" };
    const select = make("select", { name: number }, ...Object.entries(choices).map(([value, text]) => new Option(text, value, false, value === flag.wanted)));
    const count = flag.of.reduce((sum, one) => sum + one, 0);
    return make("label", { title: flag.name }, make("i"), make("bdi", { textContent: `${flag.name} (${counted(count)})` }), select);
  }));
}
$("#flags").onchange = ({ target }) => { set.flags[target.name].wanted = target.value; filter(); };
$("#behind input").onchange = filter;
$("#clear").onclick = () => select(null);
let typing = 0;
$("#find").oninput = () => { clearTimeout(typing); typing = setTimeout(filter, 150); };
$("#find").onkeydown = (event) => {
  if (event.key === "Enter") { filter(); open(set.shown.indexOf(1)); }
};

// A point, its image and its neighbours; -1 closes.
function open(i) {
  opened = i < 0 ? null : { set, point: i, found: neighboursOf(group, set, i) };
  $("#details").hidden = !opened;
  if (opened) showDetails(opened);
  drawMarks();
}
function showDetails({ point, found: { other, rows, distances, inPlane } }) {
  const image = make("canvas"), label = set.labels[point];
  const there = paint(image, set, point, 112);
  const about = make("div", {}, classOf(label), make("bdi", { textContent: nameOf(set, point) }), make("small", { textContent: noteOf(set, point) }),
    ...set.flags.filter((flag) => flag.of[point]).map((flag) => make("span", { className: "flag", textContent: flag.name })));
  if (!there && set.picture !== null) about.append(make("small", { textContent: "its image is not on this page" }));
  $("#opened").replaceChildren(image, about);
  $("#near").textContent = `Nearest ${other === set ? "images" : `among the ${other.name}`}${inPlane ? ", in the plane" : ""}`;
  $("#neighbours").replaceChildren(...rows.map((row, rank) => {
    const picture = make("canvas"), name = nameOf(other, row), title = `${name}\n${group.classes[other.labels[row]]}\n${noteOf(other, row)}`.trim();
    paint(picture, other, row, 56);
    const button = make("button", { title, className: other.labels[row] === label ? "" : "other" },
      picture, classOf(other.labels[row]), make("bdi", { textContent: name.split("/").pop() }), make("small", { textContent: distances[rank].toPrecision(3) }));
    button.onclick = () => { if (other !== set) choose(group.sets.indexOf(other)); open(row); };
    return button;
  }));
}
$("#close").onclick = () => open(-1);
addEventListener("keydown", (event) => { if (event.key === "Escape" && set) open(-1); });

// The selection, or else what the filters leave, as a table.
function table() {
  const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const rows = [["name", "set", "class", "x", "y", ...set.flags.map((flag) => flag.name)]];
  for (let i = 0; i < set.count; i++) {
    if (!set.shown[i] || (set.selected && !set.selected[i])) continue;
    const where = [xOf(set, i), yOf(set, i)].map((value) => String(+value.toPrecision(7)));
    rows.push([nameOf(set, i), set.name, group.classes[set.labels[i]], ...where, ...set.flags.map((flag) => String(!!flag.of[i]))]);
  }
  return rows.map((row) => row.map(cell).join(",") + "\r\n").join("");
}
$("#save").onclick = () => {
  const link = make("a", { download: "selection.csv", href: URL.createObjectURL(new Blob([table()], { type: "text/csv" })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
