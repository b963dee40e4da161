// Fills the figure of a history with the case and metric that the menus choose. Nothing is computed here.
"use strict";

// Colours of machines on a light page and on a dark one, and of a change to the better and the worse.
const MACHINES = [["#0173b2", "#3f9fdb"], ["#a35200", "#de8f05"], ["#027a5c", "#2bc39b"], ["#9a4f7f", "#d991bd"], ["#585d64", "#a4abb3"]];
const BETTER = ["#1c6e3d", "#7ccf98"], WORSE = ["#a3331f", "#f0937f"];
const LABELS = 16;

(async () => {
  const root = document.getElementById("history");
  const { item, data } = JSON.parse(root.querySelector("script").textContent);
  await Bokeh.embed.embed_item(item, root.querySelector(".plot"));
  const model = (name) => Bokeh.documents[0].get_model_by_name(name);
  const [one, metric] = [".case", ".metric"].map((each) => root.querySelector(each));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const { runs } = data;
  let printing = false;

  const every = Math.ceil(runs.length / LABELS);
  model("places").ticks = runs.map((_, i) => i).filter((i) => i % every === 0);
  model("x").major_label_overrides = new Map(runs.map(({ commit }, i) => [i, commit]));
  const ends = { start: -0.6, end: runs.length - 0.4 };
  model("runs").setv({ ...ends, reset_start: ends.start, reset_end: ends.end });

  // The first case is the one that changed most. Show where.
  const first = data.spans.find((each) => each.case === 0)?.metric;
  metric.value = Math.max(0, data.metrics.findIndex(({ name }) => name === first));

  function draw() {
    const light = Number(dark.matches && !printing);
    const told = data.metrics[metric.value];
    const [middle, lows, highs] = told.values[one.value];
    const known = runs.map((_, i) => i).filter((i) => middle[i] !== null);
    const units = { time: TIMES, size: SIZES }[told.unit];
    const [, unit, scale] = units ? scaled(Math.max(0, ...known.map((i) => middle[i])), units) : [0, "", 1];
    const low = (i) => (lows?.[i] ?? middle[i]) / scale, high = (i) => (highs?.[i] ?? middle[i]) / scale;

    fill("points", known.map((i) => ({
      ...runs[i], x: i, y: middle[i] / scale, low: low(i), high: high(i),
      colour: MACHINES[runs[i].place % MACHINES.length][light],
      value: WRITTEN[told.unit](middle[i], lows?.[i], highs?.[i]),
    })));
    const here = data.spans.filter((each) => each.case === Number(one.value) && each.metric === told.name);
    fill("spans", here.map((each) => ({ ...each, colour: (each.worse ? WORSE : BETTER)[light] })));

    const bottom = Math.min(...known.map(low)), top = Math.max(...known.map(high));
    const room = 0.08 * (top - bottom) || 0.1 * top || 1;
    const [start, end] = known.length ? [bottom - room, top + room] : [0, 1];
    model("range").setv({ start, end, reset_start: start, reset_end: end });
    model("quantity").axis_label = unit ? `${told.words}, ${unit}` : told.words;
    const changed = here.map((each) => `${each.words}.`).join(" ");
    root.querySelector(".reading").textContent = known.length ? changed : "This case has no such value.";
  }

  function fill(name, rows) {
    const source = model(name);
    source.data = Object.fromEntries(Object.keys(source.data).map((column) => [column, rows.map((row) => row[column])]));
  }

  one.addEventListener("change", draw);
  metric.addEventListener("change", draw);
  dark.addEventListener("change", draw);
  addEventListener("beforeprint", () => { printing = true; draw(); });
  addEventListener("afterprint", () => { printing = false; draw(); });
  draw();
})();
