"use strict";

// Tables: a heading's button sorts up, then down, then puts the rows back as they were.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], original = [...body.rows];
  const headings = [...table.tHead.rows].at(-1).cells;
  [...headings].forEach((heading, place) => heading.querySelector("button").addEventListener("click", () => {
    const next = { none: "ascending", ascending: "descending", descending: "none" }[heading.ariaSort];
    for (const other of headings) other.ariaSort = "none";
    heading.ariaSort = next;
    const isNumber = heading.classList.contains("number"), sign = next === "descending" ? -1 : 1;
    const value = (row) => row.cells[place].dataset.value;
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === ""); // what was not measured stays last
      return sign * (isNumber ? x - y : x.localeCompare(y));
    };
    body.append(...(next === "none" ? original : [...original].sort(compare)));
  }));
}

const source = document.getElementById("data");
if (source) {
  const { artists, paintings, pictures } = JSON.parse(source.textContent);
  const show = (image, row) => { image.src = "data:image/webp;base64," + pictures[row]; };
  for (const image of document.querySelectorAll("img[data-p]")) show(image, image.dataset.p);

  const plane = document.querySelector(".plane"), svg = plane.querySelector("svg"), card = document.querySelector(".card");
  const ring = svg.querySelector(".ring"), links = svg.querySelector(".links");
  const points = [...svg.querySelectorAll("use")].map((mark) => (
    { mark, row: mark.dataset.p, x: +mark.getAttribute("x"), y: +mark.getAttribute("y") }));
  const pointOf = new Map(points.map((point) => [point.row, point]));
  let current = null;

  const element = (name, text, parent) => {
    const made = document.createElement(name);
    made.textContent = text;
    parent.append(made);
    return made;
  };
  const picture = (row, alt, parent) => {
    if (!pictures[row]) return;
    const image = element("img", "", parent);
    image.alt = alt;
    show(image, row);
  };

  const lightUp = (artist) => {
    plane.classList.toggle("dim", artist !== null);
    for (const { mark, row } of points) mark.classList.toggle("lit", paintings[row][0] === artist);
  };

  const choose = (point) => {
    if (!point || point === current) return;
    current = point;
    const [artist, text, rank, nearest] = paintings[point.row];
    ring.setAttribute("cx", point.x);
    ring.setAttribute("cy", point.y);
    ring.style.display = "inline";
    const reached = nearest.map((row) => pointOf.get(String(row))).filter(Boolean);
    links.setAttribute("d", reached.map((to) => `M${point.x} ${point.y}L${to.x} ${to.y}`).join(""));
    lightUp(artist);
    document.getElementById("artist").value = artist;
    card.replaceChildren();
    picture(point.row, `${text}, by ${artists[artist]}`, card);
    const line = element("p", "", card);
    element("b", artists[artist], line);
    line.append(document.createElement("br"), text);
    element("p", rank === 0 ? "The only painting by this hand." : rank === 1 ? "The nearest is by the same hand:"
      : `First by the same hand at place ${rank}. Nearest:`, card);
    const list = element("ol", "", card);
    for (const row of nearest) {
      const [other, title] = paintings[row], isRight = other === artist;
      const item = element("li", "", list);
      picture(row, `${title}, by ${artists[other]}`, item);
      const mark = element("span", isRight ? "✓ " : "✗ ", item);
      mark.className = isRight ? "mark right" : "mark wrong";
      item.append(artists[other]);
    }
  };

  const nearestTo = (event) => {
    const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let best = null, least = 40 ** 2;
    for (const point of points) {
      const distance = (point.x - place.x) ** 2 + (point.y - place.y) ** 2;
      if (distance < least) [best, least] = [point, distance];
    }
    return best;
  };
  plane.addEventListener("pointermove", (event) => { if (event.pointerType === "mouse") choose(nearestTo(event)); });
  plane.addEventListener("click", (event) => choose(nearestTo(event)));

  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  plane.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    if (!current) return choose(points[0]);
    let best = null, least = Infinity;
    for (const point of points) {
      const [dx, dy] = [point.x - current.x, point.y - current.y];
      const along = dx * step[0] + dy * step[1], across = Math.abs(dx * step[1] - dy * step[0]);
      if (along > 0 && across <= along && along + 2 * across < least) [best, least] = [point, along + 2 * across];
    }
    choose(best);
  });

  document.getElementById("artist").addEventListener("change", (event) => {
    ring.style.display = "none";
    links.setAttribute("d", "");
    current = null;
    lightUp(event.target.value === "" ? null : +event.target.value);
  });
}
