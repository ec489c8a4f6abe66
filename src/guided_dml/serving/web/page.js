"use strict";
// The user's images: each is sent to /predict as it is, and what comes back is shown.
const items = [];
const NUMBERS = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
// Answers are shown as they come until an image is opened: then that one stays.
let asked = Promise.resolve(), health = null, follow = true;

function make(tag, content = {}, ...children) {
  const { className = "", ...rest } = content, element = Object.assign(document.createElement(tag), rest);
  element.className = className;
  element.append(...children);
  return element;
}
const classOf = (name) => {
  const dot = make("i");
  dot.style.background = colour(name);
  return make("span", { className: "class", title: visible(name) }, dot, make("bdi", { textContent: visible(name) }));
};
const picture = (src, alt) => make("img", { src, alt, onload: ({ target }) => target.classList.toggle("coarse", target.naturalHeight < 100) });

function add(files) {
  for (const file of files) {
    follow = true;
    const item = { file, name: visible(file.name || "pasted image"), url: URL.createObjectURL(file), seen: new Image(), button: make("button", { disabled: true }) };
    item.seen.onload = () => drawMarks();
    item.tile = picture(item.url, item.name);
    item.button.title = item.name;
    item.button.append(item.tile);
    item.button.onclick = () => { follow = false; show(item); if (item.error) ask(item); };
    items.push(item);
    $("#shelf").append(item.button);
    ask(item);
  }
}
// One after the other: the page leaves the server free for others. Of an image only the newest
// question is sent.
function ask(item) {
  const question = item.question = Symbol();
  asked = asked.then(async () => {
    if (item.question !== question) return;
    Object.assign(item, await sent(item));
    item.button.replaceChildren(item.error ? "!" : item.tile);
    item.button.disabled = false;
    item.button.className = item.error ? "failed" : item.answer.known ? "" : "unknown";
    if (item.answer) item.seen.src = item.answer.seen;
    if (follow || !shown || shown === item) show(item);
    else drawMarks();
  });
}
async function sent({ file }) {
  const query = new URLSearchParams({ k: $("#k").value, alpha: $("#alpha").value, seen: true });
  try {
    const got = await fetch(`/predict?${query}`, { method: "POST", body: file }), told = await got.json();
    return got.ok ? { answer: { ...told, alpha: query.get("alpha") }, error: null } : { answer: null, error: told.error };
  } catch {
    const readable = await file.slice(0, 1).arrayBuffer().then(() => true, () => false);
    const why = readable ? "the server does not answer; once it runs, click the image again"
      : "the file cannot be read: it is a folder, or has been changed or moved since; choose it again";
    return { answer: null, error: why };
  }
}

function show(item) {
  shown = item;
  $("#shelf").hidden = false;
  for (const { button } of items) button.ariaPressed = button === item.button;
  item.button.scrollIntoView({ block: "nearest" });
  if (item.error) {
    const words = make("p", {}, make("strong", {}, "No answer for ", make("bdi", { textContent: item.name })), item.error);
    $("#answer").replaceChildren(make("section", {}, make("div", { className: "verdict failed" }, words)));
  } else {
    const given = make("figure", {}, picture(item.url, ""), make("figcaption", {}, make("bdi", { textContent: item.name })));
    const size = `${points.image_size[1]}\u00a0\u00d7\u00a0${points.image_size[0]}\u00a0pixels`;
    const seen = make("figure", {}, picture(item.answer.seen, ""), make("figcaption", { textContent: `what the network sees: ${size}` }));
    $("#answer").replaceChildren(
      make("section", {}, make("div", { className: "pair" }, given, seen), verdict(item.answer), figures(item.answer)),
      make("section", {}, make("h2", { textContent: "Nearest training images" }), neighbours(item.answer)),
    );
    if (!inSight(item.answer.place)) fit();
  }
  drawMarks();
}
function verdict({ known, label, alpha, p_value: p, neighbour_labels: labels }) {
  const votes = labels.filter((other) => other === label).length, name = visible(label);
  const near = `${2 * votes > labels.length ? "" : "Only "}${votes} of the ${labels.length} nearest training images are of this class.`;
  // No p-value is smaller; with few validation images none is as small as alpha.
  const smallest = 1 / (health.validation_images + 1);
  if (alpha < smallest) return make("div", { className: "verdict untold" }, make("p", {},
    make("strong", {}, "Nearest class: ", make("bdi", { textContent: name })),
    `${near} Whether the network knows such images cannot be told: with ${health.validation_images} validation images and this alpha no image can be taken for unknown; that needs an alpha of ${Math.ceil(1000 * smallest) / 1000} or more.`));
  const many = Math.round(100 * p);
  const share = many ? `about ${many} of 100` : "fewer than 1 of 100";
  return make("div", { className: known ? "verdict" : "verdict unknown" }, make("p", {},
    make("strong", {}, known ? "Known: " : "I do not know this", make("bdi", { textContent: known ? name : "" })),
    known
      ? `${near} It lies as near to what the network learned as images of this kind do: ${share} of those lie as far or farther.`
      : `It lies far from all that the network learned: of images of the known kind ${share} lie as far. The nearest class would be `,
    known ? "" : make("bdi", { textContent: name }), known ? "" : "."));
}
function figures({ confidence, distance, p_value: p }) {
  const rows = { Confidence: `${Math.round(100 * confidence)} %`, Distance: NUMBERS.format(distance), "p-value": NUMBERS.format(p) };
  const titles = { Confidence: "Share of the nearest training images that are of the class", Distance: "To the nearest image that the network learned from", "p-value": "Share of images of the known kind that lie as far or farther; unknown: at most alpha" };
  return make("dl", {}, ...Object.entries(rows).flatMap(([name, value]) => [make("dt", { textContent: name, title: titles[name] }), make("dd", { textContent: value })]));
}
function neighbours(answer) {
  return make("ul", { id: "neighbours" }, ...answer.neighbours.map((name, rank) => {
    const number = answer.neighbour_numbers[rank], file = visible(/^\d+$/.test(name) ? `image ${name}` : name);
    return make("li", { title: file, onpointerenter: () => { pointed = number; drawMarks(); }, onpointerleave: () => { pointed = -1; drawMarks(); } },
      picture(`/neighbours/${number}`, file), classOf(answer.neighbour_labels[rank]),
      make("bdi", { textContent: file }), make("small", { textContent: NUMBERS.format(answer.distances[rank]) }));
  }));
}

$("#choose").onchange = ({ target }) => { add(target.files); target.value = ""; };
for (const name of ["k", "alpha"]) $(`#${name}`).onchange = ({ target }) => {
  if (!target.reportValidity()) return;
  follow = false;
  [...items].sort((a, b) => (b === shown) - (a === shown)).forEach(ask);
};
addEventListener("paste", ({ clipboardData }) => add(clipboardData.files));
addEventListener("dragover", (event) => { event.preventDefault(); $("#cover").hidden = false; });
addEventListener("dragleave", ({ relatedTarget }) => { $("#cover").hidden = !relatedTarget; });
addEventListener("drop", (event) => { event.preventDefault(); $("#cover").hidden = true; add(event.dataTransfer.files); });

async function start() {
  const [content, said] = await Promise.all(["/map", "/health"].map(async (path) => (await fetch(path)).json()));
  health = said;
  prepare(content);
  document.title = $("h1").textContent = visible(content.title);
  $("#model").textContent = `export ${content.version}, ${health.gallery_images.toLocaleString("en")} training images`;
  $("#axes").textContent = content.axes.join(" \u00d7 ");
  $("#k").max = Math.max($("#k").max, health.k);
  $("#k").value = health.k; $("#alpha").value = health.alpha;
  card.firstChild.className = Math.max(...content.image_size) < 100 ? "coarse" : "";
  $("#classes").append(...content.classes.map(classOf));
  fit();
}
asked = start().catch((error) => { $("#plot").textContent = `This page cannot be shown: ${error.message}`; });
