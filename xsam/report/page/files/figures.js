// Figures, drawn when they come into view, in the colours of the theme.

const DASHES = ["solid", "dash", "dashdot", "dot"];
const SYMBOLS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star", "triangle-left"];
const [SIDE, LEAST] = [26, 190]; // characters beside the axis, and the pixels that they take
const CONFIG = { displaylogo: false, responsive: true };
const figures = { colours: [], drawn: new Map(), waiting: new Map(), observer: null };

// plotly reads tags and entities in labels; these are labels of the results and no markup.
function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

// The axis is as long as the plot is high: a long title goes on in a next line.
function wrapped(text, width) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = lines.at(-1) ? `${lines.at(-1)} ${word}` : word;
    if (longer.length > width && lines.at(-1)) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines.map(plain).join("<br>");
}

function colourOf(place, theme) {
  const colour = figures.colours[place % figures.colours.length];
  return colour === "#000000" ? theme.text : colour;
}

function themeNow() {
  return {
    text: getComputedStyle(document.body).color,
    rule: getComputedStyle(document.querySelector("header")).borderBottomColor,
  };
}

function lineStyle(place, theme) {
  const dash = DASHES[Math.floor(place / figures.colours.length) % DASHES.length];
  return { color: colourOf(place, theme), width: 2, dash };
}

function markOf(place, theme) {
  return { color: colourOf(place, theme), symbol: SYMBOLS[place % SYMBOLS.length], size: 9 };
}

function named(place, label) {
  return { name: plain(label), legendgroup: String(place), hovertemplate: "%{y:.5~g} ± %{customdata:.3~g}" };
}

// Bands end where values cannot be.
function clipped(value, [lowest, highest]) {
  return Math.min(highest ?? Infinity, Math.max(lowest ?? -Infinity, value));
}

function band([place, label, x, mean, spread, lowest, highest], theme, within = [null, null]) {
  const known = mean.map((_, at) => at).filter((at) => mean[at] !== null && spread[at] !== null);
  const at = known.map((one) => x[one]);
  const high = known.map((one) => clipped(highest ? highest[one] : mean[one] + spread[one], within));
  const low = known.map((one) => clipped(lowest ? lowest[one] : mean[one] - spread[one], within));
  const area = {
    x: [...at, ...at.toReversed()],
    y: [...high, ...low.toReversed()],
    mode: "lines",
    line: { width: 0 },
    fill: "toself",
    fillcolor: colourOf(place, theme),
    opacity: 0.18,
    hoverinfo: "skip",
    showlegend: false,
    legendgroup: String(place),
  };
  const mode = known.length > 1 ? "lines" : "markers";
  const ends = lowest && {
    customdata: mean.map((_, one) => [lowest[one], highest[one]]),
    hovertemplate: "%{y:.3~g} [%{customdata[0]:.3~g}, %{customdata[1]:.3~g}]",
  };
  const name = { ...named(place, label), customdata: spread, ...ends };
  const line = { ...name, x, y: mean, mode, line: lineStyle(place, theme) };
  return [area, line];
}

function curve([place, label, x, mean, spread], theme, withLine) {
  return {
    ...named(place, label),
    x,
    y: mean,
    customdata: spread,
    error_y: { type: "data", array: spread, thickness: 1.2, width: 3 },
    mode: withLine ? "lines+markers" : "markers",
    line: lineStyle(place, theme),
    marker: markOf(place, theme),
  };
}

function isLevel([, , x]) {
  return x.every((at) => at === null);
}

function rangeOf(figure) {
  const at = figure.lines.flatMap(([, , x]) => x).filter((one) => one !== null);
  return at.length ? [Math.min(...at), Math.max(...at)] : [0, 1];
}

// A level has a band of its spread from end to end.
function level([place, label, , mean, spread], theme, range) {
  const [at, within] = [[mean[0], mean[0]], [spread[0] ?? 0, spread[0] ?? 0]];
  const traces = band([place, label, range, at, within], theme);
  return traces.map((trace) => (trace.fill ? trace : { ...trace, line: { ...trace.line, dash: "dot" } }));
}

function map(figure, theme) {
  const [x, y] = figure.at;
  const colorbar = { title: { text: figure.unit, side: "right" }, thickness: 12, outlinewidth: 0 };
  const hovertemplate = "%{x:.3~g}, %{y:.3~g}: %{z:.4~g}<extra></extra>";
  const type = figure.kind === "plane" ? "contour" : "heatmap";
  const [zmin, zmax] = figure.limits ?? [];
  const colours = { colorscale: "Viridis", colorbar, zmin, zmax, zauto: zmin === undefined };
  const traces = [{ type, x, y, z: figure.z, ...colours, hovertemplate, ncontours: 20 }];
  if (figure.kind === "heat") {
    const line = { color: "white", width: 2 };
    traces.push({ x: figure.path[0], y: figure.path[1], name: "α*", mode: "lines+markers", line, showlegend: false });
    return traces;
  }
  traces.push({ x: [0], y: [0], mode: "markers", marker: { color: "white", symbol: "x" }, name: "θ", showlegend: false });
  Object.entries(figure.marks).forEach(([name, [right, up]], place) => {
    const style = { mode: "lines+markers", line: { color: colourOf(1 + place, theme), width: 2 } };
    traces.push({ x: [0, right], y: [0, up], name: plain(name), hoverinfo: "name", ...style });
  });
  return traces;
}

function circle(name, radius) {
  const line = { color: "white", width: 1.5, dash: name === "ρ" ? "dash" : "solid" };
  return { type: "circle", x0: -radius, y0: -radius, x1: radius, y1: radius, line };
}

function tracesOf(figure, theme) {
  if (figure.z) return map(figure, theme);
  if (figure.kind === "bands") return figure.lines.flatMap((line) => band(line, theme, figure.within));
  if (figure.rows) return rows(figure, theme);
  const range = rangeOf(figure);
  return figure.lines.flatMap((line) =>
    isLevel(line) ? level(line, theme, range) : curve(line, theme, figure.kind === "curves"),
  );
}

function layoutOf(figure, theme) {
  const axis = { gridcolor: theme.rule, linecolor: theme.rule, zeroline: false, automargin: true, ticks: "outside" };
  const [across, square] = figure.kind === "plane" ? [{ constrain: "domain" }, { constrain: "domain", scaleanchor: "x" }] : [];
  const side = wrapped(figure.y, SIDE);
  const standoff = 6 + 16 * (side.split("<br>").length - 1); // further lines stand between the first and the axis
  return {
    title: { text: plain(figure.title), font: { size: 14 }, x: 0, xref: figure.rows ? "container" : "paper" },
    font: { family: "system-ui, sans-serif", size: 12, color: theme.text },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 48, r: 12, t: 36, b: 40 },
    ...(figure.rows ? rowAxes(figure, axis) : {
      xaxis: { ...axis, ...across, title: { text: plain(figure.x), standoff: 4 }, type: figure.log ? "log" : "-" },
      yaxis: { ...axis, ...square, title: { text: side, standoff } },
    }),
    legend: { orientation: "h", x: 0, ...(figure.rows ? { yref: "container", y: 0 } : { y: -0.3, yanchor: "top" }) },
    showlegend: (figure.lines ?? []).length > 1 || Object.keys(figure.marks ?? {}).length > 0,
    hovermode: figure.kind === "bands" ? "x unified" : "closest",
    hoverlabel: { bgcolor: getComputedStyle(document.body).backgroundColor, font: { color: theme.text } },
    shapes: Object.entries(figure.radii ?? {}).map(([name, radius]) => circle(name, radius)),
  };
}

function draw(place, figure) {
  const theme = themeNow();
  figures.waiting.delete(place);
  figures.observer.unobserve(place);
  figures.drawn.set(place, figure);
  return Plotly.react(place, tracesOf(figure, theme), layoutOf(figure, theme), CONFIG).then(() => makeRoom(place, figure));
}

// A long legend takes its room from the plot, and gets it from the page instead; so do many rows.
function makeRoom(place, figure) {
  const least = Math.max(LEAST, figure.rows ? heightOf(figure) : 0);
  const lacking = place.classList.contains("small") ? 0 : least - (place._fullLayout?._size.h ?? least);
  if (lacking < 1) return place;
  place.style.height = `${place.offsetHeight + Math.ceil(lacking)}px`;
  return Plotly.Plots.resize(place);
}

function drawWhenSeen(place, figure) {
  figures.waiting.set(place, figure);
  figures.observer.observe(place);
}

function forget(place) {
  figures.waiting.delete(place);
  figures.observer.unobserve(place);
  if (figures.drawn.delete(place)) Plotly.purge(place);
}

// Draws the rest while nothing else is to be done, so that a picture of the whole page has every figure.
function drawWhenIdle() {
  const idle = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 50));
  const next = () => {
    const [place, figure] = figures.waiting.entries().next().value ?? [];
    if (!place) return;
    draw(place, figure);
    idle(next);
  };
  idle(next);
}

function drawAgain() {
  for (const [place, figure] of figures.drawn) draw(place, figure);
}

function drawAll() {
  for (const [place, figure] of figures.waiting) draw(place, figure);
}

function startFigures(colours) {
  figures.colours = colours;
  const seen = (entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) draw(target, figures.waiting.get(target));
  };
  figures.observer = new IntersectionObserver(seen, { rootMargin: "300px" });
}
