// Fills the figures with the cases that the menus and the legend choose.

const dark = matchMedia("(prefers-color-scheme: dark)");
const MOST_TICKS = { across: 6, up: 7 };
const ROOM = 0.06;

async function openChart(root, columns) {
  const { item, data } = JSON.parse(root.querySelector("script").textContent);
  await Bokeh.embed.embed_item(item, root.querySelector(".plot"));
  const figure = Bokeh.documents.at(-1);
  const model = (name) => figure.get_model_by_name(name);
  const legend = root.querySelector(".legend");
  const boxes = [...legend.querySelectorAll("input[type=checkbox]")];
  const entries = boxes.map((each) => each.closest("li"));
  const quantity = root.querySelector("select.metric");
  const menus = [...root.querySelectorAll("select.axis")];
  let printing = false;

  const at = (name, row) => columns.get(name)?.at(row);
  const metric = () => data.metrics[quantity?.value ?? 0];
  const paper = () => getComputedStyle(document.body).backgroundColor;

  // The place of the setting that the menus name. If the run has no such setting, it is one that has what was chosen
  // last and most of the rest.
  function setting(last) {
    const wanted = menus.map((each) => Number(each.value));
    const agreeing = (each) => each.filter((value, place) => value === wanted[place]).length;
    const allowed = data.settings.filter((each) => last === undefined || each[last] === wanted[last]);
    const best = allowed.reduce((a, b) => (agreeing(b) > agreeing(a) ? b : a));
    menus.forEach((each, place) => { each.value = best[place]; });
    return data.settings.indexOf(best);
  }

  // The series of the setting that the legend shows, each with its look and its cases.
  function shown(place) {
    const scheme = dark.matches && !printing ? 1 : 0;
    return data.series.flatMap((look, i) => {
      const rows = data.rows[place][i];
      entries[i].hidden = rows.length === 0;
      if (!rows.length || !boxes[i].checked) return [];
      const xs = data.x?.[place][i] ?? rows.map((row) => at("seq_len", row));
      return [{ look: { ...look, place: i, colour: look.colours[scheme] }, cases: rows.map((row, k) => ({ row, x: xs[k] })) }];
    });
  }

  function draw(last) {
    const told = metric();
    const found = shown(setting(last));
    const column = columns.get(told.column);
    const quantities = {
      middle: ({ row }) => positive(column.at(row)),
      low: ({ row }) => positive(column.low?.at(row)),
      high: ({ row }) => positive(column.high?.at(row)),
      bound: ({ row }) => (told.bound ? positive(at(told.bound, row)) : null),
    };
    reach(found, Object.values(quantities));
    (data.ranking ? drawRanking : drawLines)(found, quantities);
    model("quantity").axis_label = told.words;
    model("quantity").major_label_overrides = new Map(told.ticks);
    model("one").visible = told.bound !== "";
    root.querySelector(".reading").textContent = told.reading;
    mark();
  }

  // The point of a case, with what it says when it is pointed at.
  function point(look, { row, x }) {
    const told = metric();
    const status = at("status", row);
    return {
      ...look, x, fill: look.filled ? look.colour : paper(), size: 3.5 + 1.8 * look.width, n: at("seq_len", row), status,
      value: `${told.words}: ${written(columns.get(told.column), row)}`, many: at("processes", row),
      reason: at("reason", row) ?? "", flags: at("flags", row) || "none", words: data.short[status] ?? "",
    };
  }
  const ended = ({ row }) => at("status", row) in data.short;

  // Each series has its row in every source, empty if it is hidden: bokeh may paint before it has counted new rows.
  function drawLines(found, { middle, low, high, bound }) {
    const each = (drawn) => data.series.map((look, place) => {
      const one = found.find((every) => every.look.place === place);
      return one ? { ...one.look, ...drawn(one.cases) } : { ...look, colour: look.colours[0], xs: [], ys: [] };
    });
    const line = (y) => each((cases) => ({ xs: cases.map(({ x }) => x), ys: cases.map((one) => y(one) ?? NaN) }));
    const band = (cases) => {
      const corners = runs(cases, (one) => low(one) !== null).flatMap((part) => [
        ...part.map((one) => [one.x, low(one)]), ...part.reverse().map((one) => [one.x, high(one)]), [NaN, NaN]]);
      return { xs: corners.map(([x]) => x), ys: corners.map(([, y]) => y) };
    };
    fill("lines", line(middle));
    fill("bounds", line(bound));
    fill("bands", each(band));
    fill("points", found.flatMap(({ look, cases }) => cases.filter((one) => middle(one) !== null).map((one) => (
      { ...point(look, one), y: middle(one) }))));
    if (model("strip")) drawStrip(found);
  }

  // A row for each series with a case that has no number.
  function drawStrip(found) {
    const strip = model("strip");
    const failing = found.filter(({ cases }) => cases.some(ended)).reverse();
    const { start, end } = strip.x_range;
    strip.y_range.factors = failing.map(({ look }) => look.name);
    strip.height = 6 + 15 * failing.length;
    strip.visible = failing.length > 0;
    fill("ended", failing.flatMap(({ look, cases }) => cases.filter(ended).map((each) => ({ ...point(look, each), y: look.name }))));
    fill("marks", failing.map(({ look, cases }) => ({ ...point(look, cases[0]), x: start * (end / start) ** 0.015, y: look.name })));
  }

  // A row for each series, the smallest number on top; below, those without one.
  function drawRanking(found, { middle, low, high, bound }) {
    const ranked = found.map(({ look, cases: [only] }) => (
      { ...point(look, only), x: middle(only), low: low(only), high: high(only), bound: bound(only), y: look.name }));
    ranked.sort((a, b) => (b.x ?? Infinity) - (a.x ?? Infinity) || 0);
    model("rows").factors = ranked.map(({ name }) => name);
    model("main").height = 80 + 19 * ranked.length;
    fill("points", ranked.filter(({ x }) => x !== null));
    fill("bars", ranked.filter((each) => each.low !== null));
    fill("bounds", ranked.filter((each) => each.bound !== null).map((each) => ({ ...each, x: each.bound })));
    const left = model("range").start;
    fill("ended", ranked.filter(({ words }) => words).map((each) => ({ ...each, x: left })));
  }

  function fill(name, rows) {
    const source = model(name);
    source.data = Object.fromEntries(Object.keys(source.data).map((key) => [key, rows.map((row) => row[key])]));
  }

  // Give the axis of the quantity the ends of what is drawn, with some room.
  function reach(found, quantities) {
    let [low, high] = [Infinity, -Infinity];
    for (const { cases } of found) for (const each of cases) for (const of of quantities) {
      const value = of(each);
      if (value !== null) [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
    if (low > high) return;
    const room = Math.max((high / low) ** ROOM, 1.15);
    const [start, end] = [low / room, high * room];
    model("range").setv({ start, end, reset_start: start, reset_end: end });
  }

  // As many ticks as there is room for.
  function mark() {
    const { start, end } = model("range");
    const inside = metric().ticks.filter(([place]) => start <= place && place <= end);
    const ranked = (rank) => inside.filter((each) => each[2] <= rank);
    const most = data.ranking ? MOST_TICKS.across : MOST_TICKS.up;
    model("ticks").ticks = ranked([2, 1].find((rank) => ranked(rank).length <= most) ?? 0).map(([place]) => place);
  }

  quantity?.addEventListener("change", () => draw());
  menus.forEach((each, place) => each.addEventListener("change", () => draw(place)));
  dark.addEventListener("change", () => draw());
  addEventListener("beforeprint", () => { printing = true; draw(); });
  addEventListener("afterprint", () => { printing = false; draw(); });
  for (const end of ["start", "end"]) model("range").properties[end].change.connect(mark);

  legend.addEventListener("change", ({ target }) => { if (target.type === "checkbox") draw(); });
  legend.addEventListener("click", ({ target }) => {
    if (target.dataset.only === undefined) return;
    const only = Number(target.dataset.only);
    const isAlone = boxes.every((box, place) => entries[place].hidden || box.checked === (place === only));
    boxes.forEach((box, place) => { box.checked = isAlone || only < 0 || place === only; });
    draw();
  });
  legend.querySelector("input[type=search]")?.addEventListener("input", ({ target }) => {
    const wanted = target.value.toLowerCase();
    for (const each of entries) each.classList.toggle("other", !each.textContent.toLowerCase().includes(wanted));
  });
  draw();
}

/** A number that a logarithmic axis can show, or null. */
function positive(value) {
  return value > 0 ? value : null;
}

/** Neighbours for which a test holds, as lists: a band ends where a case has no interval. */
function runs(cases, test) {
  const found = [[]];
  for (const each of cases) {
    if (test(each)) found.at(-1).push(each);
    else found.push([]);
  }
  return found.filter((part) => part.length);
}

const columns = unpacked(JSON.parse(document.getElementById("cases-data").textContent));
for (const each of document.querySelectorAll(".chart")) await openChart(each, columns);
