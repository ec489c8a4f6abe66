// Data sets and sets are chosen here; then the page starts.
function chooseGroup(index) {
  group = content.groups[index];
  group.shown ??= new Uint8Array(group.classes.length).fill(1);
  group.pixels ??= pixelsOf(group.colours);
  group.faded ??= pixelsOf(group.colours, 0.8);
  group.pale ??= pixelsOf(group.colours, 0.7);
  group.dark ??= pixelsOf(group.colours.map(() => "#111111"));
  $("#set").replaceChildren(...group.sets.map((s, i) => new Option(s.title, i)));
  $("#set").hidden = group.sets.length < 2;
  $("#all").checked = group.shown.every(Boolean);
}

function choose(index) {
  const before = set;
  set = prepare(group.sets[index]);
  $("#set").value = index;
  $("#axes").textContent = set.axes.filter(Boolean).join(" \u00d7 ");
  const behind = group.sets[set.reference], picture = content.pictures[set.picture];
  $("#behind").hidden = behind === set;
  $("#behind bdi").textContent = `${behind.name} behind`;
  const there = picture ? numbers(picture.rows).length : 0;
  $("#note").hidden = !picture || there >= set.count;
  $("#note").textContent = `${counted(there)} of ${counted(set.count)} images are on this page; of the others it has name and class.`;
  listClasses(); listFlags(); filter(); leave(); open(-1);
  if (!before || !group.sets.includes(before) || !group.oneWindow) reset();
}

$("#group").onchange = ({ target }) => {
  // The same method on the other data set, where it is there.
  const { kind } = set;
  chooseGroup(+target.value);
  choose(Math.max(0, group.sets.findIndex((s) => s.kind === kind)));
};
$("#set").onchange = ({ target }) => choose(+target.value);
function useLasso(on) {
  $("#lasso").ariaPressed = on; $("#move").ariaPressed = !on;
  map.classList.toggle("lasso", on);
}
$("#move").onclick = () => useLasso(false);
$("#lasso").onclick = () => useLasso(true);
$("#in").onclick = () => zoom(1.5);
$("#out").onclick = () => zoom(1 / 1.5);
$("#reset").onclick = reset;

function resize() {
  Object.assign(view, { width: map.clientWidth, height: map.clientHeight });
  marks.width = view.width * ratio(); marks.height = view.height * ratio();
  if (!set) return;
  const { x, y, zoom } = view;
  reset();
  Object.assign(view, { x, y, zoom });
}
addEventListener("resize", resize);

document.title = $("h1").textContent = content.heading;
content.groups.forEach((one, i) => $("#group").add(new Option(one.name, i)));
$("#group").hidden = content.groups.length < 2 && !content.groups.some((one) => one.name);
resize();
if (content.groups.length) {
  chooseGroup(0); choose(0);
  // (here, not in the next frame: the images below are still being read)
  drawPoints(); drawMarks();
  performance.mark("drawn");
} else {
  document.querySelector("aside").hidden = $("#tools").hidden = $("#set").hidden = map.hidden = true;
  $("#axes").textContent = "no embedding is stored";
}
