// The cases of the run, by column, for the table and the figures.

/** The columns of the data, by the names that they go by. */
function unpacked(data) {
  const columns = new Map();
  for (const packed of data.columns) {
    const { distinct, codes, values } = packed;
    const at = values ? (row) => values[row] : codes.length ? (row) => distinct[codes[row]] : () => distinct[0];
    const column = { ...packed, at };
    for (const name of packed.names) columns.set(name, column);
  }
  for (const name of data.intervals) {
    const column = columns.get(name);
    const ends = ["low", "high"].map((end) => columns.get(name.replace(/(_ns|_j)?$/, `_${end}$1`)));
    if (!column || !ends[0]) continue;
    [column.low, column.high] = ends;
    for (const end of ends) end.isBound = true;
  }
  return columns;
}
