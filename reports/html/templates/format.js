// Numbers with their units, as reports/text/units.py writes them: no more digits than their interval justifies.

const MOST_DIGITS = 4;
const DIGITS_WITHOUT_INTERVAL = 2;
const TIMES = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];
const ENERGIES = [[1e3, "kJ"], [1, "J"], [1e-3, "mJ"], [1e-6, "µJ"]];
const SIZES = [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]];
const NONE = "-";

/** The power of ten of the leading digit. */
function place(value) {
  return Number(Math.abs(value).toExponential().split("e")[1]);
}

/** The significant digits of a value, up to the first one that its interval leaves open. */
function digits(value, low, high) {
  if (low == null || high == null) return DIGITS_WITHOUT_INTERVAL;
  const half = (high - low) / 2;
  if (half <= 0) return MOST_DIGITS;
  return Math.min(Math.max(place(value) - place(half) + 1, 1), MOST_DIGITS);
}

/** A value with so many significant digits and without an exponent: 12,300, 3.10, 0.012. */
function number(value, significant) {
  if (value === 0) return "0";
  const decimals = significant - 1 - place(value);
  const rounding = decimals < 0
    ? { maximumSignificantDigits: significant }
    : { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  return value.toLocaleString("en-US", { ...rounding, roundingMode: "halfEven" });
}

/** A value in the largest unit that is at most as large: [3.1, "ms"]. */
function scaled(value, units) {
  const [scale, unit] = units.find(([each]) => value >= each) ?? units.at(-1);
  return [value / scale, unit, scale];
}

/** A number with the ends of its interval in brackets. */
function bracketed([shown, ...ends]) {
  return [shown, `(${ends.join(" to ").replaceAll(",", "")})`];
}

/** A number and the ends of its interval, to one decimal place: ["0.940", "(0.882 to 1.003)"]; a wide one to two digits. */
function interval(value, low, high) {
  const numbers = [value, low, high];
  if (0 < 10 * low && 10 * low <= high) {
    let significant = DIGITS_WITHOUT_INTERVAL;
    const readsAsOne = (end) => end !== 1 && Number(end.toPrecision(significant)) === 1;
    while ([low, high].some(readsAsOne) && significant < MOST_DIGITS) significant += 1;
    return bracketed(numbers.map((each) => number(each, significant)));
  }
  const half = (high - low) / 2;
  const places = numbers.filter(Boolean).map(place);
  const least = Math.max(...places) - MOST_DIGITS + 1;
  let last = Math.max(Math.min(half > 0 ? place(half) : least, ...places), least);
  const isOne = (end) => end !== 1 && last <= 0 && Number(end.toFixed(-last)) === 1;
  while ([low, high].some(isOne) && last > -MOST_DIGITS) last -= 1; // an end above or below 1 must not read as 1
  return bracketed(numbers.map((each) => number(each, Math.max(place(each) - last + 1, 1))));
}

/** Half the width of an interval on the log scale: ±1.2%, or its ends from 100 % on: (0.24 to 4.1 times). */
function spread(low, high) {
  const factor = Math.sqrt(high / low);
  const share = factor - 1;
  if (share >= 1) return interval(1, 1 / factor, factor)[1].replace(")", " times)");
  return share >= 0.001 ? `±${number(100 * share, 2)}%` : "±<0.1%";
}

/** A share in whole percent: 61%. If it, or a share beside it, would read as 0, it has decimals: 0.3%. */
function percent(share, ...beside) {
  const least = Math.min(...[share, ...beside].filter((each) => each > 0), 1);
  const decimals = least < 0.005 ? -place(100 * least) : 0;
  const places = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  return `${(100 * share).toLocaleString("en-US", { ...places, useGrouping: false, roundingMode: "halfEven" })}%`;
}

/** A value in one of the units, with half the width of its interval: 3.10 ms ±1.2%. */
function measured(value, low, high, units) {
  const [count, unit] = scaled(value, units);
  return `${number(count, digits(value, low, high))} ${unit}${low == null ? "" : ` ${spread(low, high)}`}`;
}

/** How each kind of number is written; `low` and `high` are the ends of its interval, where it has one. */
const WRITTEN = {
  time: (value, low, high) => measured(value, low, high, TIMES),
  energy: (value, low, high) => measured(value, low, high, ENERGIES),
  size(value) {
    const [count, unit, scale] = scaled(value, SIZES);
    return `${scale > 1 ? number(count, 3) : Math.round(count)} ${unit}`;
  },
  ratio(value, low, high) {
    if (low == null || low === high) return `${number(value, Math.min(digits(value, low, high), 3))}x`;
    return interval(value, low, high).join("x ");
  },
  share(value, low, high) {
    if (low == null) return percent(value);
    const [shown, ...ends] = [value, low, high].map((each) => percent(each, value, low, high));
    return `${shown} (${ends.join(" to ")})`;
  },
  count: (value) => value.toLocaleString("en-US"),
  error: (value) => value.toExponential(1).replace(/e([+-])(\d)$/, "e$10$2"),
  number: (value) => number(value, 2),
  plain: (value) => String(value),
  rate: (value) => `${number(value / 1e9, 2)} GFLOP/s`,
  seconds: (value) => `${number(value, 2)} s`,
  spread: (value) => `${number(100 * value, 2)}%`,
  change: (value) => `${number(100 * value, 2).replace(/\.0$/, "")}%`,
};

/** A cell of a column as text. */
function written(column, row) {
  const value = column.at(row);
  if (value == null || value === "") return NONE;
  if (!column.unit) return value;
  return WRITTEN[column.unit](value, column.low?.at(row), column.high?.at(row));
}
