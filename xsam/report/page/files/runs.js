// The list of a grid's runs, of which a part is in the page at a time, and what each of them opens to.

const STEP = 100;

function valueAt(column, place) {
  if (column.values) return column.values[place];
  return column.words[column.places ? column.places[place] : 0];
}

function textAt(column, place) {
  const value = valueAt(column, place);
  if (value === null) return "";
  return typeof value === "number" ? String(Number(value.toPrecision(6))) : value;
}

function listOf(title, pairs) {
  const list = element("dl", {});
  for (const [name, value] of pairs) list.append(element("dt", {}, name), element("dd", {}, value));
  return element("section", {}, element("h4", {}, title), list);
}

function pairsOf(columns, place) {
  return columns.map((column) => [column.name, textAt(column, place)]).filter(([, text]) => text !== "");
}

function textBlock(title, text) {
  const block = element("pre", { tabindex: "0", "aria-label": title }, text);
  return element("section", { class: "wide" }, element("h4", {}, title), block);
}

class RunList {
  constructor(place, data) {
    this.data = data;
    this.open = new Map();
    this.limit = STEP;
    const results = new Map(data.results.map((column) => [column.name, column]));
    this.columns = [
      { name: "run", values: data.ids },
      ...data.axes,
      { name: "status", ...data.status },
      ...data.shown.map((name) => results.get(name)),
    ];
    this.labels = 2 + data.axes.length;
    const places = data.ids.map((_, run) => run);
    this.texts = places.map((run) => this.columns.map((column) => textAt(column, run)).join("\n").toLowerCase());
    this.order = places;
    this.build(place);
    sortable(this.table, (column, direction) => {
      this.order = ordered(places, (run) => textAt(this.columns[column], run), direction);
      this.show();
    });
    onFilter(() => this.show());
  }

  build(place) {
    const header = element("tr", {});
    this.columns.forEach(({ name }, at) => header.append(element("th", at < this.labels ? { class: "label" } : {}, name)));
    this.body = element("tbody", {});
    this.table = element("table", { class: "runs" }, element("caption", {}, "Runs"), element("thead", {}, header), this.body);
    this.note = element("span", { role: "status" });
    this.more = element("button", { type: "button" }, `Show ${STEP} more`);
    this.more.addEventListener("click", () => {
      this.limit += STEP;
      this.show();
    });
    const region = element("div", { class: "scroll", role: "region", "aria-label": "Runs", tabindex: "0" }, this.table);
    place.append(region, element("p", { class: "more" }, this.note, this.more));
  }

  show() {
    const found = this.order.filter((run) => matches(this.texts[run]));
    const shown = found.slice(0, this.limit);
    for (const run of this.open.keys()) if (!shown.includes(run)) this.close(run);
    this.body.replaceChildren(...shown.flatMap((run) => this.rowsOf(run)));
    const all = this.data.ids.length;
    const count = found.length === all ? `${all} runs` : `${found.length} of ${all} runs`;
    this.note.textContent = shown.length < found.length ? `${count}, the first ${shown.length} shown. ` : `${count}. `;
    this.more.hidden = shown.length === found.length;
    return [found.length, all];
  }

  rowsOf(run) {
    const row = element("tr", { id: `run-${this.data.ids[run]}` });
    this.columns.forEach((column, at) => {
      const text = textAt(column, run);
      row.append(element("td", at < this.labels ? { class: "label" } : {}, at ? text : this.buttonOf(run, row)));
    });
    row.cells[this.labels - 1].classList.add("status", valueAt(this.data.status, run));
    return this.open.has(run) ? [row, this.open.get(run)] : [row];
  }

  buttonOf(run, row) {
    const button = element("button", { type: "button", class: "run" }, this.data.ids[run]);
    button.ariaExpanded = String(this.open.has(run));
    button.addEventListener("click", () => {
      if (this.open.has(run)) this.close(run);
      else row.after(this.detailOf(run));
      button.ariaExpanded = String(this.open.has(run));
    });
    return button;
  }

  close(run) {
    const row = this.open.get(run);
    for (const plot of row.querySelectorAll(".plot")) forget(plot);
    row.remove();
    this.open.delete(run);
  }

  detailOf(run) {
    const { data } = this;
    const cell = element("td", { colspan: String(this.columns.length) });
    const parts = element("div", { class: "parts" });
    cell.append(parts);
    const row = element("tr", { class: "detail" }, cell);
    this.open.set(run, row);
    this.addCurves(parts, run);
    const [error, log] = data.failures[run] ?? ["", ""];
    if (error) parts.append(textBlock("Error", error));
    if (log) parts.append(textBlock("End of the log", log));
    parts.append(listOf("Configuration", pairsOf(data.config, run)), listOf("Results", pairsOf(data.results, run)));
    const kind = valueAt(data.provenance.places, run);
    parts.append(listOf("Provenance", kind === null ? [["", "not recorded"]] : data.provenance.kinds[kind]));
    const command = `xsam-bench logs ${data.ids[run]}`;
    parts.append(element("p", { class: "wide" }, "Link: ", this.linkTo(run), "; whole log: ", element("code", {}, command)));
    return row;
  }

  linkTo(run) {
    const target = `#run-${this.data.ids[run]}`;
    return element("a", { href: target }, target);
  }

  addCurves(parts, run) {
    const { names, at, runs } = this.data.curves;
    if (!runs[run]) return;
    const [epochs, ...values] = runs[run];
    const plots = element("div", { class: "plots wide" });
    parts.append(plots);
    names.forEach((name, place) => {
      if (!values[place]) return;
      const plot = element("div", { class: "plot small" });
      plots.append(plot);
      const line = [place, name, at[epochs], values[place], values[place].map(() => 0)];
      drawWhenSeen(plot, { kind: "bands", title: name, x: "epoch", y: "", log: false, lines: [line] });
    });
  }

  // Opens a run that a link names, wherever in the list it is.
  reveal(id) {
    const run = this.data.ids.indexOf(id);
    if (run < 0) return false;
    this.limit = Math.max(this.limit, this.order.indexOf(run) + 1);
    if (!this.open.has(run)) this.detailOf(run);
    this.show();
    const row = document.getElementById(`run-${id}`);
    row?.scrollIntoView({ block: "center" });
    row?.querySelector("button").focus();
    return true;
  }
}
