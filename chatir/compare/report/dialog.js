// One target: its dialogs of the runs shown, side by side, round by round.
let pictures = null;
let chosenRun = -1;

/** Whether runs are switched by tabs, as they do not fit side by side. */
const narrow = matchMedia("(max-width: 40rem)");

/** The picture of an image, if there is one; a placeholder if it could not be read. */
function picture(image, text) {
  pictures ??= JSON.parse(document.getElementById("pictures-data").textContent);
  const address = pictures[image];
  return address
    ? element("img", { src: address, alt: text, title: data.images[image] })
    : element("span", { class: "missing", role: "img", "aria-label": `${text}: cannot be shown`, text: "no picture" });
}

/** Fill the panel with a target. query: runs shown and label. */
function showDialog(panel, target, query) {
  const image = data.targets[target];
  const captions = new Set(query.runs.map((run) => data.runs[run].captions[target]));
  const [caption] = captions;
  const title = element("h3", { id: "dialog-title", tabindex: "-1" });
  title.append(caption === undefined ? isolated(data.ids[target]) : isolated(data.texts[caption]));
  const names = [...new Set([data.ids[target], data.images[image]])];
  const head = element(
    "header",
    {},
    pictured.has(target) ? picture(image, "the target") : null,
    element(
      "div",
      {},
      title,
      element("p", { class: "names" }, ...names.map((name) => isolated(name, { class: "file" }))),
      element("nav", { class: "pages", "aria-label": "From dialog to dialog" }),
    ),
  );
  const top = Math.max(1, ...query.runs.flatMap((run) => data.runs[run].ranks[query.label]?.[target] ?? []));
  const columns = query.runs.map((run) => column(run, target, query.label, top, captions.size > 1));
  const tabs = narrow.matches && columns.length > 1 ? tabsOf(query.runs, columns) : null;
  panel.replaceChildren(...[head, tabs, element("div", { class: "side-by-side" }, ...columns)].filter(Boolean));
  panel.hidden = false;
}

/** Tabs that show one of the columns at a time: the run that was chosen last, if it is among them. */
function tabsOf(runs, columns) {
  const tabs = runs.map((run, place) => {
    columns[place].id = `run-${run}`;
    columns[place].setAttribute("role", "tabpanel");
    const about = { type: "button", role: "tab", class: `run-${run}`, "aria-controls": `run-${run}` };
    return element("button", { ...about, click: () => choose(place) }, swatch(run), isolated(data.runs[run].name));
  });
  const choose = (chosen) => {
    chosenRun = runs[chosen];
    tabs.forEach((tab, place) => {
      tab.setAttribute("aria-selected", String(place === chosen));
      tab.tabIndex = place === chosen ? 0 : -1;
      columns[place].hidden = place !== chosen;
    });
  };
  const turn = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = (tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length;
    choose(next);
    tabs[next].focus();
  };
  choose(Math.max(0, runs.indexOf(chosenRun)));
  return element("div", { role: "tablist", "aria-label": "Runs", keydown: turn }, ...tabs);
}

/** A run's dialog. Its rows are those of a grid that all columns share, so that rounds stand side by side. */
function column(run, target, label, top, ownCaption) {
  const { name, captions, rounds, repeats: repeated, defects, ranks, tops } = data.runs[run];
  const known = ranks[label]?.[target] ?? [];
  const best = tops[label]?.[target] ?? [];
  const said = rounds[target];
  const rows = [
    element(
      "header",
      {},
      element("h4", { class: "run-name" }, swatch(run), isolated(name)),
      element("p", { class: "summary" }, known.length ? sparkline(run, known, top) : null, outcome(run, target, known)),
    ),
    element(
      "div",
      { class: "turn" },
      element("p", { class: "round", text: "Caption" }),
      ownCaption ? element("p", { dir: "auto", text: readable(data.texts[captions[target]]) }) : null,
      rankLine(known, 0),
      bestImages(best[0], target, known[0]),
    ),
  ];
  for (let place = 0; place < said.length; place += 2) {
    const round = place / 2 + 1;
    const first = repeated[target][round - 1] ?? 0;
    rows.push(
      element(
        "div",
        { class: first ? "turn repeated" : "turn" },
        element("p", { class: "round", text: `Round ${round}` }, ...marks(first, defects[target][round - 1] ?? 0)),
        element("p", { class: "question", dir: "auto", text: readable(data.texts[said[place]]) }),
        element("p", { class: "answer", dir: "auto", text: readable(data.texts[said[place + 1]]) || "(no answer)" }),
        rankLine(known, round),
        bestImages(best[round], target, known[round]),
      ),
    );
  }
  const made = element("section", { class: "run", "aria-label": name }, ...rows);
  made.style.gridRow = `span ${rows.length}`;
  return made;
}

function outcome(run, target, known) {
  const last = known.findLast((rank) => rank > 0);
  const told = data.runs[run].asks ? [counted(repeats[run][target], "repeat")] : [];
  if (last) told.unshift(`rank ${grouped(known[0])} → ${grouped(last)}`);
  return element("span", { text: told.join(" · ") });
}

function marks(first, defects) {
  const made = [];
  if (first) made.push(element("span", { class: "mark repeat", text: `↻ repeats round ${first}` }));
  data.defects.forEach((kind, bit) => {
    if (defects & (1 << bit)) made.push(element("span", { class: "mark defect", text: `⚠ ${kind}` }));
  });
  return made;
}

/** The target's rank after a round, and how it moved. */
function rankLine(known, round) {
  const rank = known[round];
  if (rank === undefined || rank === 0) return null;
  const found = rank <= data.found;
  const line = element("p", { class: found ? "rank found" : "rank" }, `rank ${grouped(rank)}`);
  const moved = round > 0 ? known[round - 1] - rank : 0;
  if (moved > 0) line.append(" ", element("span", { class: "better", text: `▲ ${grouped(moved)} better` }));
  if (moved < 0) line.append(" ", element("span", { class: "worse", text: `▼ ${grouped(-moved)} worse` }));
  return line;
}

/** The best images after a round: pictures, the target framed, or names where this target has no pictures. */
function bestImages(images, target, rank) {
  if (!images?.length) return null;
  const own = images.indexOf(data.targets[target]);
  if (pictured.has(target)) {
    const shown = images.map((image, place) => {
      const what = `rank ${place + 1}${place === own ? ", the target" : ""}`;
      const below = element("figcaption", { text: place === own ? `★ ${place + 1}` : String(place + 1) });
      return element("figure", { class: place === own ? "target" : null }, picture(image, what), below);
    });
    return element("div", { class: "best" }, ...shown);
  }
  const where = own < 0 ? "without the target" : `the target is number ${own + 1}`;
  const names = images.map((image, place) =>
    element("li", { class: place === own ? "target" : null }, isolated(data.images[image], { class: "file" })),
  );
  return element(
    "details",
    { class: "best-names" },
    element("summary", { text: `Best ${images.length}: ${where}` }),
    element("ol", {}, ...names),
  );
}

/** The ranks of a dialog as a line, best on top; rank and rounds on scales that all runs of the target share. */
function sparkline(run, known, top) {
  const played = known.filter((rank) => rank > 0);
  const width = 120;
  const height = 32;
  const x = (round) => 3 + (round * (width - 6)) / Math.max(1, known.length - 1);
  const y = (rank) => 3 + (Math.log(rank) * (height - 6)) / Math.max(Math.log(top), 1);
  const points = played.map((rank, round) => `${x(round).toFixed(1)},${y(rank).toFixed(1)}`);
  const end = played.length - 1;
  const drawing = drawn(
    "svg",
    {
      class: `sparkline run-${run}`,
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": `Ranks after each round: ${played.join(", ")}`,
    },
    drawn("polyline", { points: points.join(" ") }),
    drawn("circle", { cx: x(end), cy: y(played[end]), r: 2.6 }),
  );
  if (data.found < top) {
    const line = { class: "goal", x1: 0, x2: width, y1: y(data.found), y2: y(data.found) };
    drawing.prepend(drawn("line", line));
  }
  return drawing;
}

function swatch(run) {
  return element("span", { class: `swatch run-${run}`, "aria-hidden": "true" });
}
