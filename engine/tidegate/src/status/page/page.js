// Shows what /events tells, and tells the task what somebody wants. Text goes in as text, never as HTML: names of tables are not ours.
"use strict";

const SPAN_MS = 15 * 60 * 1000;
// A report comes every second; without any for so long, the numbers on the page are old.
const SILENCE_MS = 5000;
// Until it is asked again where an answer was none.
const AGAIN_MS = 2000;
// What was done is asked for so often while it is looked at.
const JOURNAL_MS = 5000;
const $ = (id) => document.getElementById(id);

let points = [];
let last = null;
let heardAt = 0;
let journalAt = 0;
// The number of the task file that was handed over from here, until its outcome is known.
let handedOver = null;
const known = new Set();

// --- words ---

function count(number) {
  if (number < 10_000) return String(Math.round(number));
  if (number < 1e6) return Math.floor(number / 1e3) + " K";
  return number < 1e9 ? (number / 1e6).toFixed(1) + " M" : (number / 1e9).toFixed(2) + " G";
}

// "1 row", "1.2 M rows".
const some = (number, what) => `${count(number)} ${what}${number === 1 ? "" : "s"}`;

function bytes(number) {
  if (number < 1e3) return Math.round(number) + " B";
  if (number < 1e6) return (number / 1e3).toFixed(1) + " KB";
  return number < 1e9 ? (number / 1e6).toFixed(1) + " MB" : (number / 1e9).toFixed(2) + " GB";
}

function duration(ms) {
  const s = ms / 1000;
  if (s < 1) return Math.round(ms) + " ms";
  if (s < 120) return (s < 10 ? s.toFixed(1) : Math.round(s)) + " s";
  if (s < 7200) return Math.floor(s / 60) + " min";
  return s < 172_800 ? Math.floor(s / 3600) + " h" : Math.floor(s / 86_400) + " days";
}

const percent = (share) => Math.round(100 * share) + " %";

// With its day, if that is not this one.
function time(ms) {
  const date = new Date(ms);
  return date.toDateString() === new Date().toDateString() ? date.toLocaleTimeString() : date.toLocaleString();
}

function limitWords(limits) {
  const words = (limit) => [
    limit.rows_per_second && count(limit.rows_per_second) + " rows/s",
    limit.bytes_per_second && bytes(limit.bytes_per_second) + "/s",
  ].filter(Boolean).join(" and ");
  const load = words(limits.full_load);
  return [words(limits.all), load && "of the full load " + load].filter(Boolean).join("; ");
}

// --- small parts ---

function text(id, value) {
  const element = $(id);
  // Screen readers speak what changes, and only that.
  if (element.textContent !== value) element.textContent = value;
}

function make(tag, content, className) {
  const element = document.createElement(tag);
  if (content !== undefined) element.textContent = content;
  if (className) element.className = className;
  return element;
}

function bar(share, label) {
  const element = document.createElement("progress");
  element.max = 1;
  element.value = Math.min(1, share);
  element.setAttribute("aria-label", label);
  return element;
}

// --- charts ---

// One line over the last quarter of an hour. Where nothing is known the line is broken.
function chart(name, value, unit, least) {
  const [width, height, foot] = [600, 140, 18];
  const svg = $("chart-" + name);
  const end = points.length ? points[points.length - 1].time_ms : Date.now();
  const known = points.filter((point) => value(point) !== null);
  const top = scaleTop(Math.max(least, ...known.map(value)));
  const x = (point) => width * (1 - (end - point.time_ms) / SPAN_MS);
  const y = (number) => height - foot - (height - foot - 12) * (number / top);
  let curve = "", area = "", from = null;
  points.forEach((point, index) => {
    const number = value(point);
    if (number === null) { from = null; return; }
    const at = x(point).toFixed(1) + " " + y(number).toFixed(1);
    curve += (from === null ? "M" : "L") + at;
    if (from === null) { from = x(point); area += "M" + from.toFixed(1) + " " + (height - foot) + "L" + at; } else area += "L" + at;
    const next = points[index + 1];
    if (!next || value(next) === null) area += "L" + x(point).toFixed(1) + " " + (height - foot) + "Z";
  });
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("preserveAspectRatio", "none");
  const steps = [[0, "0"], [top / 2, unit(top / 2)], [top, unit(top)]];
  const parts = steps.map(([number]) => shape("line", { class: "grid", x1: 0, x2: width, y1: y(number), y2: y(number) }));
  parts.push(shape("path", { class: "area", d: area }), shape("path", { class: "curve", d: curve }));
  parts.push(...steps.map(([number, label]) => label_at(4, y(number) - 3, label, svg)));
  parts.push(label_at(4, height - 3, "15 min ago", svg), label_at(width - 4, height - 3, "now", svg, "end"));
  svg.replaceChildren(...parts);
  const now = known.length && known[known.length - 1] === points[points.length - 1] ? unit(value(known[known.length - 1])) : "–";
  text("chart-" + name + "-now", now);
  const most = known.length ? unit(Math.max(...known.map(value))) : "nothing yet";
  svg.setAttribute("aria-label", `${name === "delay" ? "Delay" : "Messages per second"}, last 15 minutes: now ${now}, at most ${most}`);
}

function scaleTop(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].find((step) => step * power >= most) * power;
}

function shape(tag, attributes, content) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (content !== undefined) element.textContent = content;
  return element;
}

// The drawing is stretched to the width of its place; letters are not.
function label_at(x, y, content, svg, anchor = "start") {
  const box = svg.getBoundingClientRect();
  const stretch = box.width && box.height ? (600 / box.width) / (140 / box.height) : 1;
  return shape("text", { transform: `translate(${x} ${y}) scale(${stretch} 1)`, "text-anchor": anchor }, content);
}

// --- the page ---

const WORDS = {
  starting: "starting", loading: "loading", idle: "idle, caught up", current: "up to date", behind: "behind", stuck: "stuck",
  paused: "paused",
};
const PHASES = ["starting", "full_load", "incremental"];
const STAGES = { read: "read the source", encode: "filter and encode", send: "hand over", deliver: "brokers acknowledge" };
const SLOW = { read: "reading the source", encode: "filtering and encoding", send: "handing over to the sink", deliver: "the brokers", limits: "the limits that were set" };

const AWAY = {
  source: "the source is away: what it has by now, nobody knows", sink: "the brokers are away: what is read waits for them",
  state: "the state cannot be stored: what is read waits for it",
};

// Whatever the delay still is, nobody is up to date with what is away.
function pace(report) {
  return report.retries.length && ["idle", "current"].includes(report.pace) ? "away" : WORDS[report.pace];
}

function says(report) {
  if (report.phase === "starting") return "waiting for " + (report.awaits || "the source");
  if (report.phase === "paused") return report.stages.some((stage) => stage.windows > 0) ? "what was read is delivered" : "nothing is read; the place is kept";
  if (report.phase === "draining") return "told to stop: what was read is delivered first";
  if (report.retries.length) return AWAY[report.retries[0].of];
  if (report.pace === "stuck") return "something is to be delivered, and nothing has been for a while";
  if (report.pace === "idle" && report.total.quiet_ms !== null) return "nothing has come for " + duration(report.total.quiet_ms);
  return report.bottleneck ? "what takes most of the time: " + SLOW[report.bottleneck] : "";
}

function show(report) {
  const { total, memory, incremental, full_load: load } = report;
  document.title = `${report.task}: ${pace(report)}`;
  text("task", report.task);
  text("pace", report.phase === "draining" ? "stopping" : pace(report));
  $("pace").className = "pace " + (pace(report) === "away" ? "behind" : report.pace);
  text("says", says(report));

  const isPaused = report.phase === "paused";
  $("pause").hidden = report.phase === "draining" || report.phase === "starting";
  text("pause", isPaused ? "Go on" : "Pause");
  if (last && last.phase !== report.phase) text("answer", "");
  const phase = report.phase === "draining" || isPaused ? (incremental ? "incremental" : "full_load") : report.phase;
  PHASES.forEach((name, index) => {
    const now = PHASES.indexOf(phase);
    $("phase-" + name).className = index < now ? "done" : index === now ? "now" : "";
    if (index === now) $("phase-" + name).setAttribute("aria-current", "step");
    else $("phase-" + name).removeAttribute("aria-current");
  });
  text("starting-note", report.phase === "starting" ? report.awaits || "" : time(report.started_ms));
  const left = load && phase === "full_load" && load.seconds_left !== null ? `, about ${duration(1000 * load.seconds_left)} left` : "";
  text("full_load-note", load ? `${load.tables_done} of ${some(load.tables_total, "table")}, ${some(load.rows, "row")}${left}` : "");
  text("incremental-note", incremental && incremental.position ? `${incremental.position.file}:${incremental.position.offset}` : "");

  const delay = incremental ? incremental.delay_ms ?? incremental.delay_by_our_clock_ms : null;
  text("delay", delay === null ? "–" : delay === 0 ? "none" : duration(delay));
  text("behind", incremental && incremental.bytes_behind !== null ? bytes(incremental.bytes_behind) : "–");
  text("messages", count(total.messages));
  text("rate", count(total.messages_per_s));
  text("bytes", bytes(total.bytes_per_s));
  text("memory", bytes(memory.used_bytes));
  text("memory-of", ", of " + bytes(memory.budget_bytes));

  // Open while it matters, and whoever opens or closes it afterwards has the say.
  if (last === null || last.phase !== report.phase) $("load-details").open = report.phase === "full_load";
  stages(report);
  tables(load, report.phase === "full_load");
  fill("retries", report.retries.map((retry) => {
    const ms = report.time_ms;
    const item = make("li", `the ${retry.of}: ${retry.reason}`);
    const next = retry.next_try_ms > ms ? `next try in ${duration(retry.next_try_ms - ms)}, ` : "";
    item.append(make("small", `away for ${duration(ms - retry.since_ms)}, ${next}${duration(1000 * retry.seconds_left)} until the task gives up`));
    if (retry.hint) item.append(make("small", "What to do: " + retry.hint));
    return item;
  }));
  $("away").hidden = report.retries.length === 0;
  fill("problems", report.problems.slice().reverse().map((problem) => {
    const item = make("li", problem.message, problem.level);
    item.append(make("small", `${problem.level}, ${time(problem.time_ms)}${problem.count > 1 ? `, ${problem.count} times` : ""}`));
    if (problem.hint) item.append(make("small", "What to do: " + problem.hint));
    return item;
  }));
  $("no-problems").hidden = report.problems.length > 0;
  details(report);
  text("program", `tidegate ${report.program}, process ${report.process}`);
}

function stages(report) {
  $("stages").replaceChildren(...report.stages.map((stage) => {
    const isIt = report.bottleneck === stage.stage;
    const item = make("li", undefined, isIt ? "bottleneck" : "");
    item.append(make("h3", STAGES[stage.stage]));
    item.append(make("p", `${count(stage.per_s)}/s, ${bytes(stage.bytes_per_s)}/s`));
    const share = (words, of) => item.append(make("p", `${words[0]} ${percent(of)}${words[1]}`, "share"), bar(of, `${STAGES[stage.stage]}: ${words[0]}${words[1]}`));
    share(["busy", ""], stage.busy);
    if (stage.stage !== "read") share([stage.stage === "deliver" ? "memory" : "queue", " full"], stage.fill);
    if (isIt) item.append(make("p", "the others wait for it", "verdict"));
    return item;
  }));
}

function tables(load, isLoading) {
  $("load").hidden = !load;
  if (!load) return;
  $("tables").replaceChildren(...load.tables.map((table) => {
    const row = make("tr");
    const where = table.where ? ` where ${table.where}` : "";
    const name = make("th", (table.target ? `${table.table} as ${table.target}` : table.table) + where);
    name.scope = "row";
    // Of some of its rows nobody knows how many there are.
    const isOpen = Boolean(where) && !table.done;
    const all = Math.max(table.rows, table.estimated_rows, 1);
    const progress = make("td");
    if (!isOpen) progress.append(bar(table.done ? 1 : table.rows / all, `${table.table} is loaded`));
    const ended = table.done ? "done" : table.seconds_left !== null ? duration(1000 * table.seconds_left) : "";
    row.append(name, progress, make("td", table.done || isOpen ? count(table.rows) : `${count(table.rows)} of ~${count(all)}`, "number"),
      make("td", isLoading && !table.done ? count(table.rows_per_s) : "", "number"), make("td", ended, "number"));
    return row;
  }));
  const more = load.tables_total - load.tables.length;
  text("more-tables", more > 0 ? `and ${more} more` : "");
}

// Left alone if nothing has changed, so that nobody loses a selection.
function fill(id, made) {
  const words = (list) => [...list].map((one) => one.textContent).join("\n");
  const element = $(id);
  if (words(made) !== words(element.children)) element.replaceChildren(...made);
}

function details(report) {
  const { incremental, memory } = report;
  const list = [["Started", new Date(report.started_ms).toLocaleString()], ["Memory of the process", bytes(memory.resident_bytes)]];
  if (incremental) {
    const { position, purge, clock_ahead_ms: ahead } = incremental;
    if (position) list.push(["Position", `${position.file}:${position.offset}`]);
    if (position && position.gtids) list.push(["Executed GTIDs", position.gtids]);
    if (purge) list.push(["Binlog kept before it", bytes(purge.bytes)]);
    if (purge && purge.seconds !== null) list.push(["What comes next may be purged in", duration(1000 * purge.seconds)]);
    if (ahead !== null) list.push(["The source's clock", Math.abs(ahead) < 1000 ? "as ours" : `${duration(Math.abs(ahead))} ${ahead > 0 ? "ahead of" : "behind"} ours`]);
  }
  for (const { table, skipped, dead_letters: letters, truncated } of report.too_large) {
    const counts = [[skipped, "left out"], [letters, "sent as dead letters"], [truncated, "cut"]].filter(([n]) => n > 0);
    list.push([`Too large for their topic, of ${table}`, counts.map(([n, what]) => `${count(n)} ${what}`).join(", ")]);
  }
  fill("details", list.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
}

// --- what can be told ---

const controlled = () => [...["limit", "ask", "apply", "sure-yes"].map($), ...$("asked").querySelectorAll("button")];
const fields = () => [...$("limits").elements].filter((field) => field.name);

function controls(report) {
  for (const button of controlled()) button.disabled = false;
  const { limits, bottleneck } = report;
  const rates = (limitWords(limits) || "none") + (bottleneck === "limits" ? ", which hold the task back" : "");
  text("limits-now", rates + (limits.connections ? `; ${some(limits.connections, "connection")} to the source` : ""));
  for (const field of fields()) {
    const [name, of] = field.name.split(".").reverse();
    const value = String((of ? limits[of] : limits.all)[name] ?? "");
    // What somebody is writing there stays.
    const isOurs = field !== document.activeElement && field.value === field.defaultValue && !field.validity.badInput;
    if (isOurs && field.value !== value) field.value = field.defaultValue = value;
  }
  if (report.full_load) for (const { table } of report.full_load.tables) known.add(table);
  fill("known", [...known].map((table) => make("option", table)));
  asked(report);
  applied(report.applied);
}

// What is to be loaded again, by table, as it is taken back.
function asked({ asked_for: whole, parts }) {
  const begun = parts.filter((part) => part.begun);
  const names = [...new Set([...begun.map((part) => part.table), ...whole])];
  fill("asked", names.map((name) => {
    const of = (part) => `rows where ${part.where}`;
    const loading = begun.filter((part) => part.table === name).map((part) => `${of(part)} are being loaded`);
    const part = parts.find((part) => !part.begun && part.table === name);
    const waiting = whole.includes(name) ? [`${part ? of(part) : "all rows"} as soon as that can begin`] : [];
    const item = make("li", `${name}: ${[...loading, ...waiting].join("; ")}`);
    const button = make("button", "Take back");
    button.type = "button";
    button.id = "take-back-" + name;
    button.setAttribute("aria-label", `Take back ${name}`);
    button.addEventListener("click", () => tell("/reload?" + new URLSearchParams({ table: name, cancel: true }), "reload-answer"));
    item.append(button);
    return item;
  }));
}

// What became of the file, once it was handed over from here.
function applied(outcome) {
  if (handedOver === null || !outcome || outcome.answered < handedOver) return;
  handedOver = null;
  const { refused, unchanged } = outcome;
  text("apply-answer", refused ? `not taken over, the run goes on by the file before: ${refused}` : unchanged ? "the run works by it already: nothing was done" : "taken over");
  $("apply-answer").classList.toggle("refused", Boolean(refused));
}

// Says in `id` what the task says, or what `words` makes of it, and answers with that; with null if it was not done.
async function tell(path, id, words = (said) => said) {
  let isDone = false, said = "the task does not answer";
  try {
    // The header shows that this page means it, and no other one.
    const answer = await fetch(path, { method: "POST", headers: { "X-Tidegate": "page" } });
    [isDone, said] = [answer.ok, (await answer.text()).trim()];
  } catch { /* That is what it says. */ }
  text(id, isDone ? words(said) : said);
  $(id).classList.toggle("refused", !isDone);
  if (isDone && $("journal-details").open) journal();
  return isDone ? said : null;
}

// Asks first what cannot be taken back.
let meant = null;
function ask(title, question, yes, then) {
  text("sure-title", title);
  text("sure-text", question);
  text("sure-yes", yes);
  meant = then;
  $("sure").showModal();
}

const DONE = {
  load_begun: "load begun", table_loaded: "table loaded", load_ended: "load ended", reload_asked: "reload asked for",
  reload_cancelled: "reload cancelled", reload_begun: "reload begun", schema_fix: "schema-fix", gap_accepted: "gap accepted", limits: "limits changed", applied: "file applied", not_applied: "file refused",
};

async function journal() {
  journalAt = Date.now();
  try {
    const entries = await get("/journal") ?? [];
    fill("journal", entries.reverse().map(({ at_s, what, by, details, again }) => {
      const item = make("li", `${DONE[what] ?? what}, by ${by}`);
      const times = again ? `, ${again[0]} times, the last ${time(1000 * again[1])}` : "";
      item.append(make("small", ` ${time(1000 * at_s)}${times}${details ? ": " + details : ""}`));
      return item;
    }));
    text("journal-answer", entries.length ? "" : "nothing yet");
  } catch {
    text("journal-answer", "the task does not answer");
  }
}

// --- hearing ---

async function get(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function take(report) {
  heardAt = Date.now();
  const { incremental } = report;
  // Another process counts anew.
  if (last && last.process === report.process && report.time_ms > last.time_ms) {
    const seconds = (report.time_ms - last.time_ms) / 1000;
    points.push({
      time_ms: report.time_ms,
      delay_ms: incremental ? incremental.delay_ms ?? incremental.delay_by_our_clock_ms : null,
      messages_per_s: (report.total.messages - last.total.messages) / seconds,
    });
    points = points.filter((point) => point.time_ms > report.time_ms - SPAN_MS);
  }
  show(report);
  controls(report);
  last = report;
  draw();
  if ($("journal-details").open && Date.now() - journalAt >= JOURNAL_MS) journal();
}

function draw() {
  chart("delay", (point) => point.delay_ms, (ms) => (ms === 0 ? "none" : duration(ms)), 1000);
  chart("rate", (point) => point.messages_per_s, count, 10);
}

// Without it the charts begin now.
async function loadHistory() {
  points = await get("/history").catch(() => points);
  draw();
}

function follow() {
  const events = new EventSource("/events");
  events.onopen = loadHistory;
  events.onmessage = (event) => take(JSON.parse(event.data));
  // It comes back by itself when a connection breaks, but not behind an answer without events: there are too many who look, or a proxy
  // answers for a task that is away. Then it looks less often.
  events.onerror = () => {
    if (events.readyState !== EventSource.CLOSED) return;
    if (!points.length) loadHistory();
    get("/status").then(take).catch(() => {});
    setTimeout(follow, AGAIN_MS);
  };
}

function listen() {
  if (Date.now() - heardAt < SILENCE_MS) return;
  document.title = `${last ? last.task : "Tidegate"}: no answer`;
  text("pace", "no answer");
  $("pace").className = "pace lost";
  $("pause").hidden = true;
  for (const button of controlled()) button.disabled = true;
  text("says", last ? `the task has not answered since ${time(heardAt)}: it has ended, or cannot be reached` : "the task does not answer");
}

$("pause").addEventListener("click", () => tell(last && last.phase === "paused" ? "/resume" : "/pause", "answer"));
$("limits").addEventListener("submit", async (event) => {
  event.preventDefault();
  const changed = fields().filter((field) => field.value !== field.defaultValue);
  const query = new URLSearchParams(changed.map((field) => [field.name, field.value || "none"]));
  if (await tell("/limits?" + query, "limits-answer") !== null) for (const field of changed) field.defaultValue = field.value;
});
function wanted() {
  const [table, where] = [$("reload-table").value, $("reload-where").value.trim()];
  return where ? { table, where } : { table };
}
$("reload").addEventListener("submit", (event) => {
  event.preventDefault();
  const { table, where } = wanted();
  ask("Load again?", `${where ? `Rows of ${table} where ${where} are` : `Every row of ${table} is`} sent once more, and changes wait meanwhile. Rows that consumers have and the table has not stay with them.`,
    "Load again", () => tell("/reload?" + new URLSearchParams(wanted()), "reload-answer"));
});
$("apply").addEventListener("click", () => ask("Take over?",
  "What was read is delivered, and the run goes on by the task file as it is now. If that has consequences for rows that were sent, it is refused: tidegate apply says which, and accepts them by name.",
  "Take over", async () => {
    const number = await tell("/apply", "apply-answer", () => "told: what was read is delivered first");
    if (number === null) return;
    handedOver = Number(number);
    if (last) applied(last.applied);
  }));
$("sure-no").addEventListener("click", () => $("sure").close());
$("sure-yes").addEventListener("click", () => {
  $("sure").close();
  meant();
});
$("journal-details").addEventListener("toggle", () => { if ($("journal-details").open) journal(); });
addEventListener("resize", draw);
setInterval(listen, 1000);
follow();
