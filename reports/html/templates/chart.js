// Fills the figures with the cases that the menus and the legend choose. Nothing is computed here.
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");

async function openChart(root) {
  const { item, data } = JSON.parse(root.querySelector("script").textContent);
  await Bokeh.embed.embed_item(item, root.querySelector(".plot"));
  const figure = Bokeh.documents.at(-1);
  const model = (name) => figure.get_model_by_name(name);
  const metric = root.querySelector("select.metric");
  const menus = [...root.querySelectorAll("select.axis")];
  const boxes = [...root.querySelectorAll(".legend input[type=checkbox]")];
  const { cases, texts } = data;

  // The setting that the menus name. If the run has none, it is the one that differs least and has what was chosen last.
  function setting(last = -1) {
    const wanted = menus.map((each) => Number(each.value));
    const agreeing = (each) => each.filter((value, i) => value === wanted[i]).length;
    const allowed = data.settings.filter((each) => last < 0 || each[last] === wanted[last]);
    const best = allowed.reduce((a, b) => (agreeing(b) > agreeing(a) ? b : a));
    menus.forEach((each, i) => { each.value = best[i]; });
    return data.settings.indexOf(best);
  }

  // Give the axis of the quantity the ends of what is drawn, with some room.
  function reach(columns, shown) {
    const drawn = columns.flatMap((column) => (column ? shown.flatMap(({ rows }) => rows.map((i) => column[i])) : []));
    const logs = drawn.filter((each) => each !== null).map(Math.log);
    if (!logs.length) return;
    const low = logs.reduce((a, b) => Math.min(a, b)), high = logs.reduce((a, b) => Math.max(a, b));
    const room = Math.max(0.06 * (high - low), 0.15);
    const start = Math.exp(low - room), end = Math.exp(high + room);
    model("range").setv({ start, end, reset_start: start, reset_end: end });
  }

  // As many ticks as there is room for.
  function mark(ticks) {
    const { start, end } = model("range");
    const inside = ticks.filter(([place]) => start <= place && place <= end);
    const most = [2, 1, 0].find((rank) => inside.filter((each) => each[2] <= rank).length <= 9) ?? 0;
    model("ticks").ticks = inside.filter((each) => each[2] <= most).map(([place]) => place);
  }

  function draw(last) {
    const place = metric ? Number(metric.value) : 0;
    const told = data.metrics[place];
    const values = data.values[place];
    const at = setting(last);
    const light = Number(dark.matches && !printing);
    const looks = data.series.map((each) => ({ ...each, colour: each.colours[light] }));
    const rows = looks.map(() => []);
    cases.setting.forEach((each, i) => { if (each === at) rows[cases.series[i]].push(i); });
    boxes.forEach((box, i) => { box.closest("li").hidden = rows[i].length === 0; });
    const shown = looks.map((look, i) => ({ look, rows: boxes[i].checked ? rows[i] : [] })).filter((each) => each.rows.length);

    const hover = (look, i) => ({
      name: look.name, n: cases.n[i], colour: look.colour, marker: look.marker, value: `${told.words}: ${values.words[i]}`,
      size: 3.5 + 1.8 * look.width, fill: look.filled ? look.colour : paper(), many: cases.processes[i],
      status: texts.status[cases.status[i]], reason: texts.reason[cases.reason[i]], flags: texts.flags[cases.flags[i]] || "none",
      words: texts.short[cases.status[i]],
    });
    const known = (i) => values.middle[i] !== null;
    const ended = (i) => texts.short[cases.status[i]] !== "";
    (data.ranking ? drawRanking : drawLines)({ told, values, shown, hover, known, ended });

    reach([values.middle, values.low, values.high, values.bound], shown);
    model("quantity").axis_label = told.words;
    model("quantity").major_label_overrides = new Map(told.ticks.map(([place, words]) => [place, words]));
    mark(told.ticks);
    model("one").visible = told.one;
    root.querySelector(".reading").textContent = told.reading;
  }

  function drawLines({ values, shown, hover, known, ended }) {
    const line = (rows, column) => ({ xs: rows.map((i) => cases.x[i]), ys: rows.map((i) => column[i] ?? NaN) });
    const every = ({ look, rows }, column) => ({ ...look, ...line(rows, column) });
    fill("lines", shown.map((each) => every(each, values.middle)));
    fill("bounds", values.bound ? shown.map((each) => every(each, values.bound)) : []);
    fill("bands", values.low ? shown.flatMap(({ look, rows }) => runs(rows, (i) => values.low[i] !== null).map((part) => {
      const low = line(part, values.low), high = line(part, values.high);
      return { ...look, xs: [...low.xs, ...high.xs.reverse()], ys: [...low.ys, ...high.ys.reverse()] };
    })) : []);
    fill("points", shown.flatMap(({ look, rows }) => rows.filter(known).map((i) => (
      { ...hover(look, i), x: cases.x[i], y: values.middle[i] }))));
    const strip = model("strip");
    if (!strip) return;
    const failing = shown.filter(({ rows }) => rows.some(ended)).reverse();
    const left = strip.x_range.start * (strip.x_range.end / strip.x_range.start) ** 0.015;
    strip.y_range.factors = failing.map(({ look }) => look.name);
    strip.height = 6 + 15 * failing.length;
    strip.visible = failing.length > 0;
    fill("ended", failing.flatMap(({ look, rows }) => rows.filter(ended).map((i) => (
      { ...hover(look, i), x: cases.x[i], y: look.name }))));
    fill("marks", failing.map(({ look }) => ({ ...hover(look, 0), x: left, y: look.name })));
  }

  function drawRanking({ values, shown, hover, known, ended }) {
    const rows = shown.flatMap(({ look, rows }) => rows.map((i) => ({ look, i })));
    const best = (each) => values.middle[each.i] ?? Infinity;
    rows.sort((a, b) => best(b) - best(a));
    const own = ({ look, i }) => ({ ...hover(look, i), x: values.middle[i], y: look.name, low: values.low?.[i], high: values.high?.[i] });
    model("rows").factors = rows.map(({ look }) => look.name);
    model("main").height = 90 + 19 * rows.length;
    fill("points", rows.filter(({ i }) => known(i)).map(own));
    fill("bars", values.low ? rows.filter(({ i }) => values.low[i] !== null).map(own) : []);
    fill("bounds", values.bound ? rows.filter(({ i }) => values.bound[i] !== null).map((each) => ({ ...own(each), x: values.bound[each.i] })) : []);
    const left = Math.min(...rows.filter(({ i }) => known(i)).map(({ i }) => values.low?.[i] ?? values.middle[i]));
    fill("ended", rows.filter(({ i }) => ended(i)).map((each) => ({ ...own(each), x: left })));
  }

  function fill(name, rows) {
    const source = model(name);
    source.data = Object.fromEntries(Object.keys(source.data).map((column) => [column, rows.map((row) => row[column])]));
  }

  const paper = () => getComputedStyle(document.body).backgroundColor;
  let printing = false;

  const { start, end } = model("range").properties;
  for (const each of [start, end]) each.change.connect(() => mark(data.metrics[metric ? Number(metric.value) : 0].ticks));
  metric?.addEventListener("change", () => draw());
  menus.forEach((each, i) => each.addEventListener("change", () => draw(i)));
  dark.addEventListener("change", () => draw());
  addEventListener("beforeprint", () => { printing = true; draw(); });
  addEventListener("afterprint", () => { printing = false; draw(); });
  root.querySelector(".legend").addEventListener("change", () => draw());
  root.querySelector(".legend").addEventListener("click", ({ target }) => {
    if (target.dataset.only === undefined) return;
    const only = Number(target.dataset.only);
    const alone = boxes.every((box, i) => box.checked === (i === only) || box.closest("li").hidden);
    boxes.forEach((box, i) => { box.checked = alone || only < 0 || i === only; });
    draw();
  });
  root.querySelector("input[type=search]")?.addEventListener("input", ({ target }) => {
    const wanted = target.value.toLowerCase();
    for (const box of boxes) box.closest("li").classList.toggle("other", !box.parentElement.textContent.toLowerCase().includes(wanted));
  });
  draw();
}

// Neighbours for which a test holds, as lists: a band ends where a case has no interval.
function runs(rows, test) {
  const found = [[]];
  for (const each of rows) test(each) ? found.at(-1).push(each) : found.push([]);
  return found.filter((part) => part.length);
}

(async () => {
  for (const each of document.querySelectorAll(".chart")) await openChart(each);
})();
