// Tables that sort by their headers, and one filter for the rows of all of them.

const NUMBER = /^[<≤]?\s*([+−-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?=$|\s*[±[(%,;/]|\s+of\s)/i;
const ABSENT = "–";
const collator = new Intl.Collator("en", { numeric: true });
const shownRows = { words: [], parts: [] };

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function numberIn(text) {
  const found = NUMBER.exec(text);
  return found ? Number(found[1].replace("−", "-")) : null;
}

// The items by their texts: by the numbers with which most of them begin, or else by the alphabet. What has none is last.
function ordered(items, textOf, direction) {
  if (!direction) return items;
  const keyed = items.map((item, place) => ({ item, place, text: textOf(item).trim() }));
  for (const one of keyed) one.number = numberIn(one.text);
  const written = keyed.filter(({ text }) => text && text !== ABSENT).length;
  const numeric = 2 * keyed.filter(({ number }) => number !== null).length >= written;
  const missing = (one) => (numeric ? one.number === null : !one.text || one.text === ABSENT);
  keyed.sort((one, other) => {
    if (missing(one) || missing(other)) return missing(one) - missing(other) || one.place - other.place;
    const order = numeric ? one.number - other.number : collator.compare(one.text, other.text);
    return direction * order || one.place - other.place;
  });
  return keyed.map(({ item }) => item);
}

// Makes buttons of the headers; each press goes on from ascending to descending to the order at first.
function sortable(table, sort) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = element("button", { type: "button" }, ...header.childNodes);
    header.scope = "col";
    header.ariaSort = "none";
    header.append(button);
    button.addEventListener("click", () => {
      const next = { none: "ascending", ascending: "descending", descending: "none" }[header.ariaSort];
      for (const other of headers) other.ariaSort = "none";
      header.ariaSort = next;
      sort(column, { none: 0, ascending: 1, descending: -1 }[next]);
    });
  });
}

function matches(text) {
  return shownRows.words.every((word) => text.includes(word));
}

// A part is asked to show what matches, and answers with the numbers of rows that it shows and has.
function onFilter(apply) {
  shownRows.parts.push(apply);
}

function filterRows(text) {
  shownRows.words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  let all = 0;
  for (const apply of shownRows.parts) {
    const [some, total] = apply();
    shown += some;
    all += total;
  }
  document.getElementById("found").value = shownRows.words.length ? `${shown} of ${all} rows` : "";
}

function countText(shown, all) {
  return shownRows.words.length ? `${shown} of ${all}` : "";
}

function makeInteractive(table) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({ row, text: row.textContent.toLowerCase() }));
  const count = table.closest("details.sheet")?.querySelector(".count");
  sortable(table, (column, direction) => {
    body.append(...ordered(rows, ({ row }) => row.cells[column].textContent, direction).map(({ row }) => row));
  });
  onFilter(() => {
    let shown = 0;
    for (const { row, text } of rows) {
      row.hidden = !matches(text);
      if (!row.hidden) shown += 1;
    }
    if (count) count.textContent = countText(shown, rows.length);
    return [shown, rows.length];
  });
}
