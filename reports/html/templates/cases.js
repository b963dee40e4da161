// The table of all cases: DataTables sorts, pages and searches it; a status and a condition select its rows.

const PRINTED = 500;
const PAGE = 25;

function caseTable(data) {
  const columns = unpacked(data);
  const by = (id) => document.getElementById(`cases-${id}`);
  const shown = data.shown.map((name) => columns.get(name)).filter(Boolean);
  const words = [...new Set(columns.values())].filter((each) => !each.unit || each.unit === "plain");

  // Cases without a number come last in either direction.
  const order = (sign) => (a, b) => (a == null) - (b == null) || sign * (a - b) || 0;
  DataTable.ext.type.order["quantity-asc"] = order(1);
  DataTable.ext.type.order["quantity-desc"] = order(-1);
  DataTable.ext.errMode = "throw";

  function cell(column) {
    return (row, type) => {
      if (type === "sort" || type === "type") return column.at(row);
      if (type === "filter") return "";
      return document.createTextNode(written(column, row));
    };
  }
  const label = columns.get("label");
  function nameCell(column) {
    return (row, type) => {
      if (type !== "display") return cell(column)(row, type);
      const parts = column.at(row).split(/(?=\()|(?<=[/,])/).flatMap((part) => [element("wbr"), part]);
      return element("button", { type: "button", class: "open", "aria-expanded": "false" }, ...picture(data, label.at(row)), ...parts);
    };
  }

  const table = new DataTable(by("table"), {
    data: Array.from({ length: data.cases }, (_, row) => row),
    columns: shown.map((column, place) => ({
      title: column.title,
      data: (place === 0 ? nameCell : cell)(column),
      type: column.unit ? "quantity" : "string",
      className: column.unit ? "" : "words",
      searchable: false,
      orderSequence: ["asc", "desc", ""],
    })),
    order: [],
    autoWidth: false,
    pageLength: PAGE,
    lengthMenu: [PAGE, 100, 500, { label: "all", value: -1 }],
    layout: { topStart: null, topEnd: null, bottomStart: ["info", "pageLength"], bottomEnd: "paging" },
    language: {
      info: "_START_ to _END_ of _TOTAL_ cases",
      infoEmpty: "no case",
      infoFiltered: "(of _MAX_)",
      lengthMenu: "_MENU_ a page",
      emptyTable: "There are no cases.",
      zeroRecords: "No case fits the search, the status and the condition.",
    },
  });

  // Details open under a row, with the button of its name or with a click anywhere in it.
  function toggle(tr) {
    const row = table.row(tr);
    const isOpen = row.child.isShown();
    if (isOpen) row.child.hide();
    else row.child(details(data, columns, row.data()), "details-row").show();
    tr.querySelector("button.open").setAttribute("aria-expanded", String(!isOpen));
  }
  by("table").addEventListener("click", (event) => {
    const tr = event.target.closest("tbody > tr");
    if (!tr || tr.classList.contains("details-row") || !tr.querySelector("button.open")) return;
    if (!event.target.closest("button") && String(getSelection())) return; // someone selects text
    toggle(tr);
  });

  // The table's own search reads text as HTML where it holds an `&`. This one finds rows that have all words.
  const texts = [];
  const text = (row) => (texts[row] ??= words.map((each) => each.at(row)).join("\n").toLowerCase());
  by("search").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    table.search.fixed("text", (_text, row) => wanted.every((each) => text(row).includes(each))).draw();
  });
  by("status").addEventListener("change", (event) => {
    const wanted = event.target.value;
    table.search.fixed("status", wanted ? (_text, row) => columns.get(data.status).at(row) === wanted : null).draw();
  });

  // A condition counts as soon as it is whole; until then, all rows are there. Only Enter or leaving the field says
  // what is wrong with it.
  const message = by("message");
  let drawn = "";
  function select(complain) {
    const text = by("condition").value.trim();
    let fits = null;
    let mistake = "";
    try {
      if (text) fits = new Reader(text, columns, data.units).read();
    } catch (error) {
      if (!(error instanceof Mistake)) throw error;
      mistake = error.message;
    }
    // Drawing anew would take away the row on which someone presses to leave the field.
    if (text !== drawn) table.search.fixed("condition", fits && ((_text, row) => fits(row))).draw();
    drawn = text;
    if (mistake && !complain) return;
    message.textContent = mistake;
    if (mistake) by("condition").setAttribute("aria-invalid", "true");
    else by("condition").removeAttribute("aria-invalid");
  }
  by("condition").addEventListener("input", () => select(false));
  by("condition").addEventListener("change", () => select(true));

  // Paper has no pages to turn: all rows of the selection, or the first ones and how many there are.
  let length = PAGE;
  addEventListener("beforeprint", () => {
    length = table.page.len();
    const count = table.rows({ search: "applied" }).count();
    table.page.len(count > PRINTED ? PRINTED : -1).draw();
    by("printed").textContent = count > PRINTED ? `The first ${PRINTED} of ${count.toLocaleString("en-US")} cases.` : "";
  });
  addEventListener("afterprint", () => table.page.len(length).draw());

  // One page needs no buttons to turn it.
  const paging = () => {
    by("table").closest(".dt-container").querySelector(".dt-paging").hidden = table.page.info().pages < 2;
  };
  table.on("draw", paging);
  paging();
}

caseTable(JSON.parse(document.getElementById("cases-data").textContent));
