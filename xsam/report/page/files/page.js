// Starts everything: tables, figures, runs, the filter, the theme, links to runs, and printing.

const systemTheme = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : systemTheme.matches;
}

function showTheme() {
  document.getElementById("theme").textContent = isDark() ? "Light" : "Dark";
  drawAgain();
}

function startTheme() {
  document.getElementById("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    showTheme();
  });
  systemTheme.addEventListener("change", showTheme);
  showTheme();
}

function startFilter() {
  const filter = document.getElementById("filter");
  let waiting = 0;
  filter.addEventListener("input", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => filterRows(filter.value));
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, pre, textarea");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    filter.focus();
  });
  filterRows(filter.value);
}

function startLinks(lists) {
  const follow = () => {
    if (location.hash.startsWith("#run-")) lists.some((list) => list.reveal(location.hash.slice(5)));
  };
  addEventListener("hashchange", follow);
  follow();
}

// On paper everything is open, drawn, and on white.
function startPrinting() {
  const opened = [];
  let theme = "";
  addEventListener("beforeprint", () => {
    theme = document.documentElement.dataset.theme ?? "";
    document.documentElement.dataset.theme = "light";
    for (const closed of document.querySelectorAll("details:not([open])")) {
      closed.open = true;
      opened.push(closed);
    }
    drawAll();
    drawAgain();
  });
  addEventListener("afterprint", () => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    for (const one of opened.splice(0)) one.open = false;
    showTheme();
  });
}

function start() {
  const { colours, grids } = JSON.parse(document.getElementById("report").textContent);
  startFigures(colours);
  for (const table of document.querySelectorAll("main table")) makeInteractive(table);
  const lists = grids.map(({ figures: made, runs }, grid) => {
    const section = document.getElementById(`grid-${grid}`);
    for (const place of section.querySelectorAll(".figures .plot")) drawWhenSeen(place, made[place.dataset.figure]);
    return new RunList(section.querySelector("div.runs"), runs);
  });
  startFilter();
  startTheme();
  startLinks(lists);
  startPrinting();
  drawWhenIdle();
}

start();
