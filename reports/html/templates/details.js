// The details of a case: its columns under their headings, its processes as dots, its profile, how to measure it again.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children. Text is never read as HTML. */
function element(name, attributes = {}, ...children) {
  const made = attributes.xmlns ? document.createElementNS(attributes.xmlns, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key !== "xmlns") made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** The picture of a pattern by its label: the page holds it as a symbol. None if there is no pattern. */
function picture(data, label) {
  if (!Object.hasOwn(data.pictures, label)) return [];
  const shown = element("svg", { xmlns: SVG, class: "pattern", "aria-hidden": "true" });
  shown.append(element("use", { xmlns: SVG, href: `#pattern-${data.pictures[label]}` }));
  return [shown];
}

/** A block of the details under its heading; none without content. */
function block(title, ...content) {
  return content.length ? [element("section", {}, element("h3", {}, title), ...content)] : [];
}

/** Columns as a list of terms and values; those that the case does not have are left out. */
function listed(columns, row) {
  const shown = columns.filter((each) => !each.isBound && each.at(row) != null && each.at(row) !== "");
  if (!shown.length) return [];
  return [element("dl", {}, ...shown.flatMap((each) => [element("dt", {}, each.title), element("dd", {}, written(each, row))]))];
}

/** What each flag of a case says, and what to do. */
function flagged(flags, meanings) {
  const told = flags.split(" ").filter((each) => each in meanings);
  return told.map((each) => element("p", { class: "note" }, `${each}: ${meanings[each][0]}. To do: ${meanings[each][1]}.`));
}

/** Times of the processes of a case as a row of dots, above a band for the interval and a line for the time. */
function dots(times, time, low, high) {
  const [width, height, margin] = [320, 34, 8];
  const ends = [...times, low ?? time, high ?? time];
  const [first, last] = [Math.min(...ends), Math.max(...ends)];
  const x = (value) => (first === last ? width / 2 : margin + ((value - first) / (last - first)) * (width - 2 * margin));
  const shape = (name, attributes) => element(name, { xmlns: SVG, ...attributes });
  const range = `${WRITTEN.time(Math.min(...times))} to ${WRITTEN.time(Math.max(...times))}`;
  const said = times.length === 1 ? `1 process: ${WRITTEN.time(times[0])}` : `${times.length} processes: ${range}`;
  const band = low == null ? [] : [
    shape("rect", { x: x(low), y: 4, width: Math.max(x(high) - x(low), 1), height: height - 8, class: "band" }),
  ];
  const drawing = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": said });
  drawing.append(
    ...band,
    shape("line", { x1: x(time), x2: x(time), y1: 2, y2: height - 2, class: "middle" }),
    ...times.map((each) => shape("circle", { cx: x(each), cy: height / 2, r: 4, class: "dot" })),
  );
  const key = `Dots are processes, the line is the time${low == null ? "" : ", the band its 95 % interval"}.`;
  return element("figure", { class: "dots" }, drawing, element("figcaption", { class: "note" }, `${said}. ${key}`));
}

/** The largest operators of a case with their shares. */
function profiled(found, operators) {
  const rows = found.map(([code, share]) => [
    element("dt", {}, operators[code]),
    element("dd", {}, element("meter", { value: share, max: 1, "aria-label": operators[code] }), ` ${percent(share)}`),
  ]);
  return element("dl", {}, ...rows.flat());
}

/** A word of a command, quoted for a shell if it must be. */
function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The command that measures a case and its baseline again: their keys select them and nothing else. */
function again(start, key, baseline) {
  return `${start} -k ${quoted([...new Set([key, baseline])].filter(Boolean).join(" or "))}`;
}

/** All that is known of a case. */
function details(data, columns, row) {
  const value = (name) => columns.get(name)?.at(row);
  const offsets = data.times?.[row] ?? [];
  const times = offsets.filter((each) => each != null).map((each) => value("time_ns") * Math.exp(each / 1e4));
  const more = {
    Case: () => picture(data, value("label")),
    Result: () => flagged(value("flags") ?? "", data.flags),
    Spread: () => {
      if (times.length) return [dots(times, value("time_ns"), value("time_low_ns"), value("time_high_ns"))];
      const left = "The times of the processes are in samples.jsonl; they would make this page too large.";
      return data.times === null && value("time_ns") != null ? [element("p", { class: "note" }, left)] : [];
    },
  };
  const groups = Map.groupBy(new Set(columns.values()), (each) => each.group);
  const made = [...groups].filter(([group]) => group).flatMap(([group, found]) => (
    block(group, ...(more[group]?.() ?? []), ...listed(found, row))
  ));
  const profile = data.profiles.of[row];
  if (profile) made.push(...block("Profile", profiled(profile, data.profiles.operators)));
  const start = data.again[String(value("parts") ?? "0").split(" ").at(-1)];
  if (start) {
    const command = again(start, value("case"), columns.get("case").at(data.baselines[row]));
    const code = element("pre", { tabindex: 0, "aria-label": "Command" }, element("code", {}, command));
    made.push(...block("Measure it again", code));
  }
  return element("div", { class: "details" }, ...made);
}
