// The browser of dialogs: filters, the list of what matches, and the dialog that is open.
const PAGE = 25;
const at = (id) => document.getElementById(id);
const filters = at("filters");
const panel = at("dialog");
const state = { matching: [], page: 0, open: -1, drawn: null };
const placeOf = new Map(data.ids.map((id, place) => [id, place]));

function shownRuns() {
  return [...filters.querySelectorAll("#run-choices input:checked")].map((box) => Number(box.value));
}

function query() {
  return {
    runs: shownRuns(),
    scope: Number(at("scope").value),
    label: Number(at("label").value || 0),
    text: at("text").value.trim(),
    where: at("where").value,
    repeats: Number(at("repeats").value) || 0,
    change: at("change").value,
    pictured: at("pictured")?.checked ?? false,
    sort: at("sort").value,
  };
}

/** Search anew, after a filter was changed. */
function update() {
  const asked = query();
  fitScope(asked);
  state.matching = asked.runs.length ? search(asked) : [];
  state.page = 0;
  const told = `${grouped(state.matching.length)} of ${counted(TARGETS, "target")}`;
  at("count").textContent = asked.runs.length ? `${told} match` : "no run is chosen";
  listPage(asked);
  if (state.open >= 0) showOpen(asked);
}

/** Only runs that are shown can be searched alone. */
function fitScope(asked) {
  for (const option of at("scope").options) {
    option.disabled = option.value !== "-1" && !asked.runs.includes(Number(option.value));
  }
  if (at("scope").selectedOptions[0].disabled) at("scope").value = "-1";
  asked.scope = Number(at("scope").value);
}

function listPage(asked) {
  const pages = Math.max(1, Math.ceil(state.matching.length / PAGE));
  const first = state.page * PAGE;
  const shown = state.matching.slice(first, first + PAGE);
  at("list").tHead.replaceChildren(heads(asked));
  at("list").tBodies[0].replaceChildren(...shown.map((target) => row(target, asked)));
  at("page").textContent = `page ${state.page + 1} of ${grouped(pages)}`;
  at("page-back").disabled = state.page === 0;
  at("page-on").disabled = state.page >= pages - 1;
}

function heads(asked) {
  const ofRuns = asked.runs.map((run) => {
    const told = data.runs[run].ranks[asked.label] ? "rank, repeats" : "repeats";
    const name = isolated(data.runs[run].name);
    return element("th", { scope: "col" }, swatch(run), name, element("small", { text: told }));
  });
  const number = element("th", { scope: "col", class: "number", text: "#" });
  return element("tr", {}, number, element("th", { scope: "col", text: "target" }), ...ofRuns);
}

function row(target, asked) {
  const caption = data.runs[asked.runs[0]].captions[target];
  const link = element("a", { href: address(target) }, isolated(data.texts[caption] || data.ids[target]));
  const cells = asked.runs.map((run) => {
    const ranks = summary(run, asked.label);
    const moved = ranks ? `${grouped(ranks.first[target])} → ${grouped(ranks.last[target])}` : null;
    const many = repeats[run][target];
    return element(
      "td",
      {},
      moved && element("span", { class: ranks.best[target] <= data.found ? "moved found" : "moved", text: moved }),
      element("span", { class: "many", text: many ? `↻ ${many}` : "" }),
    );
  });
  return element(
    "tr",
    { "aria-current": target === state.open ? "true" : null },
    element("td", { class: "number", text: grouped(target + 1) }),
    element("th", { scope: "row" }, link, isolated(data.images[data.targets[target]], { class: "file" })),
    ...cells,
  );
}

/** Where a dialog is found for good. */
function address(target) {
  return `#target=${encodeURIComponent(data.ids[target])}`;
}

/** Open the dialog that the address names, if it names one. */
function openAddressed() {
  const [, name] = /^#target=(.*)$/.exec(location.hash) ?? [];
  if (name === undefined) return;
  let id = name;
  try {
    id = decodeURIComponent(name);
  } catch {
    // an address that somebody typed: looked for as it stands
  }
  const target = placeOf.get(id);
  if (target === undefined) {
    at("count").textContent = "the address names no dialog of this report";
    return;
  }
  const pressed = panel.contains(document.activeElement) ? document.activeElement.className : "";
  state.open = target;
  const asked = query();
  const place = state.matching.indexOf(target);
  if (place >= 0) state.page = Math.floor(place / PAGE);
  listPage(asked);
  showOpen(asked);
  panel.scrollIntoView({ block: "start" });
  const again = pressed && panel.querySelector(`button.${pressed}:enabled`);
  (again || at("dialog-title")).focus({ preventScroll: true });
}

function showOpen(asked) {
  const key = [state.open, asked.label, narrow.matches, ...asked.runs].join();
  if (state.drawn !== key) showDialog(panel, state.open, asked);
  state.drawn = key;
  panel.querySelector("nav").replaceChildren(...navigation());
}

/** Ways from the open dialog to its neighbours among those that match. */
function navigation() {
  const place = state.matching.indexOf(state.open);
  const last = state.matching.length - 1;
  const button = (name, step, disabled) =>
    element("button", { type: "button", class: name.toLowerCase(), disabled, click: () => go(step), text: name });
  const told = place < 0 ? "not among those that match" : `${grouped(place + 1)} of ${grouped(last + 1)}`;
  return [
    button("Previous", -1, place <= 0),
    element("span", { text: told }),
    button("Next", 1, place >= last),
    element("span", { class: "keys", text: "or the keys ← →" }),
    element("a", { href: "#dialogs", text: "Back to the list" }),
  ];
}

/** Open a neighbour of the open dialog, if it has one. */
function go(step) {
  const place = state.matching.indexOf(state.open);
  const next = place < 0 ? undefined : state.matching[place + step];
  if (next !== undefined) location.hash = address(next);
}

/** Left and right go from dialog to dialog while one is on the screen, unless the keys mean something else there. */
function leaf(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const taken = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.defaultPrevented;
  if (!step || taken || event.target.closest("input, select, .scroll:not(.list)")) return;
  const { top, bottom } = panel.getBoundingClientRect();
  if (panel.hidden || bottom < 0 || top > innerHeight) return;
  event.preventDefault();
  go(step);
}

function turnPage(step) {
  state.page += step;
  listPage(query());
  at("list-scroll").scrollTop = 0;
}

/** Arrow keys go from dialog to dialog in the list. */
function walk(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const links = [...at("list").querySelectorAll("a")];
  const next = links[links.indexOf(document.activeElement) + step];
  if (!step || !links.includes(document.activeElement) || !next) return;
  event.preventDefault();
  next.focus();
}

function begin() {
  offerChoices();
  listen();
  at("browser").hidden = false;
  update();
  openAddressed();
}

/** The runs and labels that can be chosen, and the names of choices that depend on them. */
function offerChoices() {
  data.runs.forEach((run, place) => {
    const box = element("input", { type: "checkbox", value: String(place), checked: true });
    at("run-choices").append(element("label", {}, box, swatch(place), isolated(run.name)));
    at("scope").append(element("option", { value: String(place), text: readable(run.name) }));
  });
  data.labels.forEach((label, place) =>
    at("label").append(element("option", { value: String(place), text: readable(label) })),
  );
  at("change-label").hidden = !data.labels.length;
  at("label-label").hidden = data.labels.length < 2;
  for (const option of at("sort").options) {
    option.hidden = !data.labels.length && ["change", "apart"].includes(option.value);
  }
  const named = {
    found: "found: among the best",
    never: "never among the best",
    some: "found in some runs only: best",
  };
  for (const option of at("change").options) {
    if (option.value in named) option.textContent = `${named[option.value]} ${data.found}`;
  }
  const ranked = `bold: among the best ${data.found} after some round; `;
  at("legend").textContent = `(${data.labels.length ? ranked : ""}↻: repeated questions)`;
}

function listen() {
  filters.addEventListener("input", update);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", () => setTimeout(update));
  at("page-back").addEventListener("click", () => turnPage(-1));
  at("page-on").addEventListener("click", () => turnPage(1));
  at("list").addEventListener("keydown", walk);
  at("list").tBodies[0].addEventListener("click", (event) => {
    const link = event.target.closest("tr")?.querySelector("a");
    if (link && !event.target.closest("a") && !String(getSelection())) link.click();
  });
  window.addEventListener("hashchange", openAddressed);
  document.addEventListener("keydown", leaf);
  narrow.addEventListener("change", () => state.open >= 0 && showOpen(query()));
}

begin();
