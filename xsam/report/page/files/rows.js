// Figures of what only stands one after the other, as comparisons do: each a row, from above, with its name beside it.

const [NAME, LINE] = [34, 17]; // characters of a row's name, and the pixels of a line of it
const APART = 0.12; // of the axis, between two of its marks
const BESIDE = 0.05; // of the axis, left free at either end

function sidesOf(figure) {
  return figure.lines.filter((line) => !isLevel(line));
}

function namesOf(figure) {
  return sidesOf(figure).map(([, label]) => label.split(": ").map((part) => wrapped(part, NAME)).join("<br>"));
}

// From the last row, at the bottom, to the first.
function rowRange(figure) {
  return [sidesOf(figure).length + 0.5, 0.5];
}

function heightOf(figure) {
  return LINE * namesOf(figure).flatMap((name) => [...name.split("<br>"), ""]).length;
}

// Where a value lies far off, the axis goes by factors beyond what all others need.
function placeOf(value, beyond) {
  if (value === null || !beyond) return value;
  return Math.abs(value) <= beyond ? (2 * value) / beyond : Math.sign(value) * (2 + Math.log10(Math.abs(value) / beyond));
}

function row([place, label, x, [mean], [spread]], theme, beyond) {
  const [low, at, high] = [mean - (spread ?? 0), mean, mean + (spread ?? 0)].map((value) => placeOf(value, beyond));
  const bar = { type: "data", array: [high - at], arrayminus: [at - low], thickness: 1.2, width: 3 };
  return {
    ...named(place, label),
    x: [mean === null ? null : at],
    y: x,
    customdata: [[mean, spread]],
    hovertemplate: "%{customdata[0]:.5~g} ± %{customdata[1]:.3~g}",
    error_x: bar,
    mode: "markers",
    marker: markOf(place, theme),
    showlegend: false,
  };
}

function rows(figure, theme) {
  const upright = ({ x, y, ...trace }) => ({
    ...trace,
    x: y.map((value) => placeOf(value, figure.beyond)),
    y: x,
    hoverinfo: "skip",
    hovertemplate: null,
  });
  return figure.lines.flatMap((line) =>
    isLevel(line) ? level(line, theme, rowRange(figure)).map(upright) : row(line, theme, figure.beyond),
  );
}

// Nothing and the largest values first, then what has room between them.
function marksOf(low, high, beyond) {
  const at = (value) => placeOf(value, beyond);
  const powers = Array.from({ length: 6 }, (_, power) => 10 ** (power - 2));
  const values = powers.flatMap((power) => [1, 2, 5].flatMap((tick) => [tick * power, -tick * power]));
  const within = values.filter((value) => low <= at(value) && at(value) <= high);
  const marked = [0];
  for (const value of within.sort((one, other) => Math.abs(other) - Math.abs(one))) {
    if (marked.every((other) => Math.abs(at(other) - at(value)) > APART * (high - low))) marked.push(value);
  }
  return { tickvals: marked.map(at), ticktext: marked.map((value) => String(value).replace("-", "−")) };
}

function rowAxes(figure, axis) {
  const shown = figure.lines.filter(([, , , [mean]]) => mean !== null);
  const ends = shown.flatMap(([, , , [mean], [spread]]) => [mean - (spread ?? 0), mean + (spread ?? 0)]);
  const at = ends.map((value) => placeOf(value, figure.beyond));
  const beside = BESIDE * (Math.max(...at) - Math.min(...at) || 1);
  const range = [Math.min(...at) - beside, Math.max(...at) + beside];
  return {
    xaxis: {
      ...axis,
      ...(figure.beyond ? marksOf(...range, figure.beyond) : {}),
      title: { text: plain(figure.y), standoff: 4 },
      range,
    },
    yaxis: {
      ...axis,
      showgrid: false,
      tickvals: sidesOf(figure).map(([, , [place]]) => place),
      ticktext: namesOf(figure),
      range: rowRange(figure),
    },
  };
}
