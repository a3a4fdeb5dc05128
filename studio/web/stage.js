// The stage: the photo under its mask and a brush, two pictures under a slider, maps of the words.
// `props.value` holds the strokes as a PNG data URL; Python sets the other props.
const one = (selector) => element.querySelector(selector);
const all = (selector) => [...element.querySelectorAll(selector)];
const COLORS = { add: "rgb(224,49,127)", protect: "rgb(28,126,214)" };
const canvas = one("canvas"), pen = canvas.getContext("2d"), cursor = one(".cursor");
let tool = null, drawing = false, last = null, spot = null, before = [], mine = null;

function look(view) {
  for (const button of all(".views button")) button.setAttribute("aria-pressed", String(button.dataset.view === view));
  for (const pane of all(".pane")) pane.hidden = !pane.classList.contains("pane-" + view);
}

function take(name) {
  tool = tool === name ? null : name;
  for (const button of all("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
  canvas.classList.toggle("active", tool !== null);
  canvas.tabIndex = tool === null ? -1 : 0;
  if (tool === null) { cursor.hidden = true; spot = null; }
}

function empty() {
  const data = pen.getImageData(0, 0, canvas.width || 1, canvas.height || 1).data;
  for (let i = 3; i < data.length; i += 4) if (data[i]) return false;
  return true;
}

function told() {
  mine = empty() ? "" : canvas.toDataURL("image/png");
  props.value = mine;
  one('[data-do="undo"]').disabled = before.length === 0;
  one('[data-do="clear"]').disabled = mine === "";
  trigger("input");
}

function remember() {
  before.push(pen.getImageData(0, 0, canvas.width, canvas.height));
  if (before.length > 20) before.shift();
}

function radius() { return (Number(one(".size input").value) / 2) * (canvas.width / Math.max(1, canvas.clientWidth)); }

function dab(from, to) {
  pen.globalCompositeOperation = tool === "erase" ? "destination-out" : "source-over";
  pen.strokeStyle = COLORS[tool] || "#000";
  pen.lineWidth = 2 * radius();
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(from.x, from.y);
  pen.lineTo(to.x + 0.01, to.y);
  pen.stroke();
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return { x: (event.clientX - box.left) * canvas.width / box.width, y: (event.clientY - box.top) * canvas.height / box.height };
}

function ring(point) {
  const scale = canvas.clientWidth / canvas.width, side = 2 * radius() * scale;
  cursor.hidden = false;
  cursor.style.cssText = `left:${point.x * scale}px;top:${point.y * scale}px;width:${side}px;height:${side}px`;
}

canvas.addEventListener("pointerdown", (event) => {
  if (tool === null || event.button > 0) return;
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
  remember();
  drawing = true;
  last = place(event);
  dab(last, last);
});
canvas.addEventListener("pointermove", (event) => {
  if (tool === null) return;
  const point = place(event);
  if (event.pointerType === "mouse") ring(point);
  if (!drawing) return;
  dab(last, point);
  last = point;
});
for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => {
  if (drawing) { drawing = false; told(); }
});
canvas.addEventListener("pointerleave", () => { if (!drawing) cursor.hidden = true; });
canvas.addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (tool === null) return;
  spot = spot || { x: canvas.width / 2, y: canvas.height / 2 };
  if (event.key in steps) {
    const reach = Math.max(2, radius() / 2);
    spot = { x: Math.min(canvas.width, Math.max(0, spot.x + steps[event.key][0] * reach)),
      y: Math.min(canvas.height, Math.max(0, spot.y + steps[event.key][1] * reach)) };
  } else if (event.key === " " || event.key === "Enter") {
    remember();
    dab(spot, spot);
    told();
  } else if (event.key === "Escape") { take(tool); return; } else return;
  event.preventDefault();
  ring(spot);
});

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.view) look(button.dataset.view);
  if (button.dataset.tool) take(button.dataset.tool);
  if (button.dataset.do === "undo" && before.length) { pen.putImageData(before.pop(), 0, 0); told(); }
  if (button.dataset.do === "save") trigger("save");
  if (button.dataset.do === "load") document.querySelector("#mask-file")?.click();
  if (button.dataset.do === "clear") { remember(); pen.clearRect(0, 0, canvas.width, canvas.height); told(); }
});

function slide() {
  const share = Number(one(".pane-compare input").value);
  one("img.left").style.clipPath = `inset(0 ${100 - share}% 0 0)`;
  one(".edge").style.left = share + "%";
}
one(".pane-compare input").addEventListener("input", slide);

function sides() {
  const shots = props.shots || [];
  for (const side of ["left", "right"]) {
    const chosen = shots[Number(one(`[data-side="${side}"]`).value)];
    const img = one("img." + side);
    if (chosen && img.getAttribute("src") !== chosen.url) img.src = chosen.url;
    if (chosen) img.alt = chosen.label;
  }
}
for (const select of all("[data-side]")) select.addEventListener("change", sides);

function fill() {
  const shots = props.shots || [];
  for (const side of ["left", "right"]) {
    const select = one(`[data-side="${side}"]`);
    select.replaceChildren(...shots.map((shot, index) => new Option(shot.label, index)));
    select.value = side === "left" ? 0 : Math.max(0, props.current || 0);
  }
  sides();
  slide();
}

function draw() {
  const url = props.value || "";
  if (url === mine) return;
  mine = url;
  before = [];
  one('[data-do="undo"]').disabled = true;
  one('[data-do="clear"]').disabled = url === "";
  pen.globalCompositeOperation = "source-over";
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if (!url) return;
  const strokes = new Image();
  strokes.onload = () => { if (mine === url) pen.drawImage(strokes, 0, 0, canvas.width, canvas.height); };
  strokes.src = url;
}

function show() {
  const photo = one("img.photo"), veil = one(".veil");
  if (props.photo && photo.getAttribute("src") !== props.photo) {
    photo.src = props.photo;
    [canvas.width, canvas.height] = props.size || [1, 1];
    element.style.setProperty("--shape", `${canvas.width} / ${canvas.height}`);
    element.style.setProperty("--wide", canvas.width / canvas.height);
    mine = null;
  }
  veil.style.maskImage = veil.style.webkitMaskImage = props.mask ? `url("${props.mask}")` : "none";
  veil.hidden = !props.mask;
  one('[data-view="compare"]').disabled = (props.shots || []).length < 2;
  one('[data-view="heat"]').disabled = !(props.heat || []).length;
  const maps = (props.heat || []).map(({ word, url }) => {
    const figure = document.createElement("figure"), img = document.createElement("img"), text = document.createElement("figcaption");
    img.src = url;
    img.alt = "Where the model sees “" + word + "”";
    text.textContent = word;
    figure.append(img, text);
    return figure;
  });
  one(".maps").replaceChildren(...maps);
  fill();
  draw();
}

show();
look(props.view || "mask");
watch(["photo", "size", "mask", "shots", "heat", "current"], show);
watch("turn", () => look(props.view || "mask"));
watch("value", draw);
