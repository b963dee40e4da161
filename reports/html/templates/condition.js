// Conditions that select cases: `time < 5ms and (variant == local_window or not flags has noisy)`.
//
// reports/data/where.py has the grammar, and reads the same language in the same order.

const TOKEN = /'[^']*'|"[^"]*"|[<>=!]=|[^\s<>=!()[\],"']+|\S/g;
/** The mu of a unit as a Greek keyboard has it; units have the micro sign. */
const GREEK = /\u03bc(?=[sJ]\b)/g;
const SIDE = /^('[^']*'|"[^"]*"|(?!(?:and|or|not|in|has)$)[^\s<>=!()[\],"']+)$/;
const NUMBER = /^([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?) ?(.*)$/;
const NO_UNIT = { "": 1 };
const FLAGS = { yes: "yes", true: "yes", True: "yes", no: "no", false: "no", False: "no" };
const COMPARISONS = {
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
  has: (a, b) => a.toLowerCase().includes(b.toLowerCase()),
};
const SIGNS = {
  number: ["<", "<=", ">", ">=", "==", "!=", "in"],
  flag: ["==", "!=", "in"],
  text: ["==", "!=", "in", "has"],
};
const MIRRORED = { "<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!=" };
const VALUE = "a value, in quotes if it has spaces or brackets";

/** A mistake in a condition; its message says what was expected, what was found, and where. */
class Mistake extends Error {}

/** How many letters two words share, in order. */
function shared(one, other) {
  let row = Array(other.length + 1).fill(0);
  for (const letter of one) {
    const next = [0];
    for (let i = 0; i < other.length; i += 1) {
      next.push(letter === other[i] ? row[i] + 1 : Math.max(row[i + 1], next[i]));
    }
    row = next;
  }
  return row.at(-1);
}

/** The names that are spelled nearly so. */
function nearest(name, known) {
  const alike = (each) => (2 * shared(name.toLowerCase(), each.toLowerCase())) / (name.length + each.length);
  const near = [...known].filter((each) => alike(each) >= 0.6).sort((a, b) => alike(b) - alike(a)).slice(0, 3);
  return near.length ? `, such as ${near.join(", ")}` : " of the table";
}

const kindOf = (column) => (column.unit ? "number" : column.isFlag ? "flag" : "text");
const isMissing = (cell) => cell == null || cell === "";

/** Whether a comparison holds for a cell. A missing one is equal to the empty text, and like nothing else. */
function holds(cell, sign, other) {
  if (other === "" && sign !== "has") return isMissing(cell) === (sign === "==");
  return !isMissing(cell) && COMPARISONS[sign](cell, other);
}

/** Reads a condition from left to right; `columns` holds each column by its names, `units` those of each kind. */
class Reader {
  constructor(text, columns, units) {
    const found = [...text.replace(GREEK, "µ").matchAll(TOKEN)];
    this.tokens = [...found.map(([token]) => token), ""];
    this.starts = found.map((each) => each.index);
    this.columns = columns;
    this.units = units;
    this.allUnits = Object.values(units).flatMap(Object.keys).filter(Boolean);
    this.at = 0;
  }

  /** The whole condition as a function that says of a row whether it fits. */
  read() {
    const fits = this.either();
    if (this.tokens[this.at]) throw this.mistake("and, or, or the end, or quotes around a text with spaces or brackets");
    return fits;
  }

  either() {
    let fits = this.all();
    while (this.took("or")) {
      const [left, right] = [fits, this.all()];
      fits = (row) => left(row) || right(row);
    }
    return fits;
  }

  all() {
    let fits = this.one();
    while (this.took("and")) {
      const [left, right] = [fits, this.one()];
      fits = (row) => left(row) && right(row);
    }
    return fits;
  }

  one() {
    if (this.took("not")) {
      const inner = this.one();
      return (row) => !inner(row);
    }
    if (!this.took("(")) return this.comparison();
    const inner = this.either();
    if (!this.took(")")) throw this.mistake("and, or, or )");
    return inner;
  }

  comparison() {
    let left = this.side("a column, not or (");
    if (["not", "in"].includes(this.tokens[this.at])) return this.contained(left);
    const parts = [];
    for (let sign = ""; (sign = this.took("=", ...Object.keys(COMPARISONS))); ) {
      const [place, right] = [this.at - 1, this.side(VALUE)];
      parts.push(this.compared(left, sign === "=" ? "==" : sign, right, place));
      left = right;
    }
    if (parts.length) return (row) => parts.every((fits) => fits(row));
    const column = this.known(left);
    if (kindOf(column) !== "flag") throw this.noSign(left, this.at);
    return (row) => column.at(row) === "yes";
  }

  contained(left) {
    const column = this.known(left);
    const isNot = this.took("not");
    if (!this.took("in")) throw this.mistake("in");
    const closing = { "(": ")", "[": "]" }[this.took("(", "[")];
    if (!closing) throw this.mistake("a list of values in brackets");
    const values = [];
    while (!this.took(closing)) {
      values.push(this.value(this.side(VALUE), left, "=="));
      if (!this.took(",") && this.tokens[this.at] !== closing) throw this.mistake(`, or ${closing}`);
    }
    const fits = (row) => values.some((each) => holds(column.at(row), "==", each));
    return isNot ? (row) => !isMissing(column.at(row)) && !fits(row) : fits;
  }

  compared(left, sign, right, place) {
    const isValue = left.isQuoted || NUMBER.test(left.text);
    if (!left.column && sign in MIRRORED && (right.column || isValue)) {
      [left, sign, right] = [right, MIRRORED[sign], left];
    }
    const column = this.known(left);
    if (!SIGNS[kindOf(column)].includes(sign)) throw this.noSign(left, place);
    if (!right.column) {
      const value = this.value(right, left, sign);
      return (row) => holds(column.at(row), sign, value);
    }
    if (this.scale(column) !== this.scale(right.column)) throw this.mistake(this.wanted(left), right.place);
    return (row) => !isMissing(right.column.at(row)) && holds(column.at(row), sign, right.column.at(row));
  }

  /** A column or a value. A unit belongs to the number before it. */
  side(expected) {
    const place = this.at;
    let text = this.tokens[place];
    if (!SIDE.test(text)) throw this.mistake(expected);
    this.at += 1;
    if (NUMBER.exec(text)?.[2] === "") text = `${text} ${this.took(...this.allUnits)}`.trim();
    return { place, text, column: this.columns.get(text), isQuoted: /^["']/.test(text) };
  }

  known(side) {
    if (!side.column) throw this.mistake(`a column${nearest(side.text, this.columns.keys())}`, side.place);
    return side.column;
  }

  unitsOf(column) {
    return this.units[column.unit] ?? NO_UNIT;
  }

  /** What columns that are compared with each other share: their kind, and the unit of numbers with one. */
  scale(column) {
    return "" in this.unitsOf(column) ? kindOf(column) : column.unit;
  }

  /** A value in the unit of the column that it is compared with. */
  value(side, beside, sign) {
    const column = this.known(beside);
    const [kind, text] = [kindOf(column), side.isQuoted ? side.text.slice(1, -1) : side.text];
    if ((text === "" && ["==", "!="].includes(sign)) || (kind === "text" && !side.column)) return text;
    if (kind === "flag" && Object.hasOwn(FLAGS, text)) return FLAGS[text];
    const number = side.isQuoted ? null : NUMBER.exec(text);
    if (kind !== "number" || !number) throw this.mistake(this.wanted(beside), side.place);
    const [units, count, unit] = [this.unitsOf(column), Number(number[1]), number[2]];
    const needsNone = count === 0 || beside.text === column.name;
    if (!Object.hasOwn(units, unit) && !(unit === "" && needsNone)) {
      const named = Object.keys(units).filter(Boolean).join(", ");
      const expected = named ? `one of the units ${named}` : `no unit after a number for ${beside.text}`;
      throw this.mistake(expected, side.place + (this.tokens[side.place] === number[1] ? 1 : 0));
    }
    return count * (units[unit] ?? 1);
  }

  /** What is compared with a column. */
  wanted(beside) {
    const column = this.known(beside);
    const units = Object.keys(this.unitsOf(column)).filter(Boolean).join(", ");
    const number = units ? `a number with one of the units ${units}` : "a number";
    const told = { number, flag: "yes or no", text: "a text, in quotes if a column is called so," };
    return `${told[kindOf(column)]} for ${beside.text}`;
  }

  noSign(beside, place) {
    return this.mistake(`one of ${SIGNS[kindOf(this.known(beside))].join(", ")} with ${beside.text}`, place);
  }

  /** The next token if it is one of these, which is then taken; else an empty text. */
  took(...tokens) {
    const token = this.tokens[this.at];
    if (!tokens.includes(token)) return "";
    this.at += 1;
    return token;
  }

  mistake(expected, place = this.at) {
    const token = this.tokens[place];
    const found = token ? `${token} at character ${this.starts[place] + 1}` : "the end";
    return new Mistake(`expected ${expected}, found ${found}`);
  }
}
