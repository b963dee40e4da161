// Expressions that select cases: `time < 5ms and (variant == local_window or not flags has noisy)`.
//
//   either     = all { "or" all }
//   all        = one { "and" one }
//   one        = "not" one | "(" either ")" | comparison
//   comparison = column ("<" | "<=" | ">" | ">=" | "==" | "!=") value | column "has" value
//
// A value is a number with its unit, or a word, in quotes if it has spaces or brackets.

const UNITS = {
  time: { ns: 1, us: 1e3, "µs": 1e3, ms: 1e6, s: 1e9 },
  energy: { uJ: 1e-6, "µJ": 1e-6, mJ: 1e-3, J: 1, kJ: 1e3 },
  size: { B: 1, KB: 1e3, MB: 1e6, GB: 1e9, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 },
  rate: { "MFLOP/s": 1e6, "GFLOP/s": 1e9, "TFLOP/s": 1e12 },
  ratio: { x: 1, "": 1 },
  share: { "%": 0.01, "": 1 },
  spread: { "%": 0.01, "": 1 },
  seconds: { s: 1, ms: 1e-3, "": 1 },
};
const NO_UNIT = { "": 1 };

const COMPARISONS = {
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
};
const WORD_COMPARISONS = {
  "==": COMPARISONS["=="],
  "!=": COMPARISONS["!="],
  has: (a, b) => a.toLowerCase().includes(b.toLowerCase()),
};

/** A mistake in an expression; its message says what was expected, what was found, and where. */
class Mistake extends Error {}

/** Reads an expression from left to right; `columns` holds each column by the names that it goes by. */
class Reader {
  constructor(text, columns) {
    this.text = text;
    this.columns = columns;
    this.at = 0;
  }

  /** The whole expression as a function that says of a row whether it fits. */
  read() {
    const fits = this.either();
    this.skip();
    if (this.at < this.text.length) throw this.mistake("and, or, or the end");
    return fits;
  }

  either() {
    let fits = this.all();
    while (this.took(/or\b/y)) {
      const [left, right] = [fits, this.all()];
      fits = (row) => left(row) || right(row);
    }
    return fits;
  }

  all() {
    let fits = this.one();
    while (this.took(/and\b/y)) {
      const [left, right] = [fits, this.one()];
      fits = (row) => left(row) && right(row);
    }
    return fits;
  }

  one() {
    if (this.took(/not\b/y)) {
      const inner = this.one();
      return (row) => !inner(row);
    }
    if (this.took(/\(/y)) {
      const inner = this.either();
      if (!this.took(/\)/y)) throw this.mistake("and, or, or )");
      return inner;
    }
    return this.comparison();
  }

  /** A case without a value fits no comparison with it. */
  comparison() {
    const start = this.at;
    const name = this.took(/[A-Za-z_]\w*/y);
    const column = name && this.columns.get(name);
    if (!column) {
      this.at = start;
      throw this.mistake(name ? "a column (see the list below)" : "a column, not or (");
    }
    const known = column.unit ? COMPARISONS : WORD_COMPARISONS;
    const sign = this.took(/[<>=!]=|[<>]|has\b/y);
    if (!sign || !(sign in known)) {
      this.at -= sign ? sign.length : 0;
      throw this.mistake(`one of ${Object.keys(known).join(", ")} after ${name}`);
    }
    const value = column.unit ? this.quantity(name, column.unit) : this.word(name);
    const compare = known[sign];
    return (row) => {
      const found = column.at(row);
      return found != null && found !== "" && compare(found, value);
    };
  }

  /** A number with a unit, in the unit that the data have. */
  quantity(name, kind) {
    const units = UNITS[kind] ?? NO_UNIT;
    const count = this.took(/[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?/y);
    const named = Object.keys(units).filter(Boolean).join(", ");
    if (!count) throw this.mistake(named ? `a number with one of the units ${named}` : `a number after ${name}`);
    if (!named) return Number(count);
    const start = this.at;
    const unit = this.took(/(?!(?:and|or)\b)[A-Za-zµμ%][\w/]*/y)?.replace("μ", "µ") ?? "";
    if (!Object.hasOwn(units, unit) && !(unit === "" && Number(count) === 0)) {
      this.at = start;
      throw this.mistake(`one of the units ${named}`);
    }
    return Number(count) * (units[unit] ?? 1);
  }

  word(name) {
    const value = this.took(/"[^"]*"|'[^']*'|[^\s()"']+/y);
    if (!value) throw this.mistake(`a word after ${name}, in quotes if it has spaces or brackets`);
    return value.replace(/^(["'])(.*)\1$/s, "$2");
  }

  skip() {
    while (/\s/.test(this.text.charAt(this.at))) this.at += 1;
  }

  /** What stands next, if it has this form; the expression is then read up to its end. */
  took(form) {
    this.skip();
    form.lastIndex = this.at;
    const found = form.exec(this.text)?.[0];
    this.at += found?.length ?? 0;
    return found;
  }

  mistake(expected) {
    this.skip();
    const found = /^([<>=!]+|[\w%µ./]+|.)/su.exec(this.text.slice(this.at))?.[0];
    return new Mistake(`Character ${this.at + 1}: expected ${expected}, found ${found ?? "the end"}.`);
  }
}
