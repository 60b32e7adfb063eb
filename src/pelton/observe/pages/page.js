// The page on the admin listener. Everything that a client may have written is put in as text, never as HTML.
"use strict";
const EVERY_MS = 2000, SAMPLES_EVERY = 5, MOST_POINTS = 360;
// What is shown of a point of the last hour; the server keeps them, so a page that is opened late shows them, too.
const PLOTS = {
  rate: (point, step) => point.requests / step, p99: (point) => point.p99_seconds === null ? null : point.p99_seconds * 1000,
  errors: (point, step) => point.errors / step, queue: (point) => point.queue, running: (point) => point.running,
};
let before = null, turns = 0, samples = { routes: [], slowest: [], stacks: [] };

const byId = (id) => document.getElementById(id);
function make(tag, text, className) {
  const one = document.createElement(tag);
  if (text !== undefined) one.textContent = text;
  if (className) one.className = className;
  return one;
}
function table(place, columns, rows) {
  const whole = make("table"), head = make("tr"), body = make("tbody");
  for (const column of columns) { const th = make("th", column); th.scope = "col"; head.append(th); }
  whole.append(make("thead")); whole.tHead.append(head); whole.append(body);
  for (const row of rows) {
    const line = make("tr");
    for (const cell of row) line.append(make("td", String(cell)));
    body.append(line);
  }
  byId(place).replaceChildren(rows.length ? whole : make("p", "none"));
}
const ms = (seconds) => seconds === null ? "–" : `${(seconds * 1000).toFixed(1)} ms`;
function quantile(bounds, counts, part) {
  const total = counts.reduce((a, b) => a + b, 0);
  if (total <= 0) return null;
  let below = 0;
  for (let at = 0; at < counts.length; at++) {
    if (counts[at] && below + counts[at] >= part * total) {
      const low = at ? bounds[at - 1] : 0, high = at < bounds.length ? bounds[at] : low;
      return (low + (high - low) * (part * total - below) / counts[at]) / 1e6;
    }
    below += counts[at];
  }
  return bounds[bounds.length - 1] / 1e6;
}
const sum = (counts) => counts.reduce((a, b) => a + b, 0);
const less = (after, old) => old ? after.map((count, at) => count - old[at]) : after;
function plot(name, points, step) {
  const values = points.map((point) => PLOTS[name](point, step)), most = Math.max(1e-9, ...values.map((one) => one ?? 0));
  const shown = (one) => one.toLocaleString(undefined, { maximumFractionDigits: 1 });
  // The right edge is now; a gap is a time without any request.
  let d = "", pen = "M";
  values.forEach((one, at) => {
    if (one === null) { pen = "M"; return; }
    const x = MOST_POINTS - values.length + at;
    d += `${pen}${x},${(100 - 96 * one / most).toFixed(1)}${pen === "M" ? "h0.5" : ""}`;
    pen = "L";
  });
  const svg = byId(`p-${name}`), path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", `0 0 ${MOST_POINTS} 100`);
  path.setAttribute("d", d);
  svg.replaceChildren(path);
  const minutes = Math.round(values.length * step / 60);
  svg.setAttribute("aria-label", `${svg.dataset.name}: at most ${shown(most)} in the last ${minutes} minutes`);
  byId(`m-${name}`).textContent = values.length ? `at most ${shown(most)}` : "";
}
function showHistory(history) {
  for (const name of Object.keys(PLOTS)) plot(name, history.points, history.step_seconds);
}
function value(name, one, digits) {
  byId(`v-${name}`).textContent = one === null ? "–" : one.toFixed(digits);
}
function show(state) {
  const old = before && before.uptime_seconds <= state.uptime_seconds ? before : null;
  const seconds = Math.max(1e-3, state.uptime_seconds - (old ? old.uptime_seconds : 0));
  const counts = less(state.duration.counts, old && old.duration.counts);
  const rate = sum(counts) / seconds, p99 = quantile(state.bounds_us, counts, 0.99);
  const running = state.workers.flatMap((worker) => worker.requests.filter((one) => one.running).map((one) => ({ ...one, worker: worker.number })));
  running.sort((a, b) => b.age_seconds - a.age_seconds);
  byId("head").textContent = `${state.version} · up ${Math.round(state.uptime_seconds)} s · ${rate.toFixed(1)} requests/s · p99 ${ms(p99)} · `
    + `${state.counters.connections_open} connections · queue ${state.queue.length}`;
  const errors = (one) => one.requests.reduce((all, [, kind, count]) => all + (kind === 5 ? count : 0), 0);
  value("rate", rate, 1); value("p99", p99 === null ? null : p99 * 1000, 1); value("queue", state.queue.length, 0); value("running", running.length, 0);
  value("errors", (errors(state) - (old ? errors(old) : 0)) / seconds, 1);
  table("running", ["age", "request", "client", "worker", "thread", "where", "waits for"], running.slice(0, 50).map((one) => [
    `${one.age_seconds.toFixed(1)} s`, `${one.method} ${one.path}`, one.client || "unix", one.worker, one.thread ?? "", one.at ?? "",
    one.waits ? `${one.waits.for}${one.waits.held_by.map((holder) => `, held by ${holder.name} at ${holder.file}:${holder.line}`).join("")}` : ""]));
  table("workers", ["worker", "pid", "running", "waiting", "threads", "why so many", "computing", "memory", "age"], state.workers.map((one) => [
    one.number + (one.retiring ? " (retiring)" : ""), one.pid, one.running, one.waiting, `${one.threads ?? "–"} of ${one.most_threads}`,
    one.reason ?? "–", one.computing === undefined ? "–" : `${Math.round(one.computing * 100)} %`, `${Math.round(one.process.memory_bytes / 1048576)} MiB`,
    `${Math.round(one.process.age_seconds)} s`]));
  const routes = (state.routes || []).map((one) => ({ ...one, total: sum(one.duration.counts) }));
  routes.sort((a, b) => b.duration.sum_us - a.duration.sum_us);
  table("routes", ["route", "requests", "time", "p50", "p99", "errors"], routes.slice(0, 50).map((one) => [
    one.route, one.total, `${(one.duration.sum_us / 1e6).toFixed(1)} s`, ms(quantile(state.bounds_us, one.duration.counts, 0.5)),
    ms(quantile(state.bounds_us, one.duration.counts, 0.99)), one.errors]));
  const certificates = (state.certificates || []).map((one) => [`certificate ${one.name}`, `until ${new Date(one.expires * 1000).toISOString().slice(0, 10)}`]);
  const counters = Object.entries(state.counters).filter(([, value]) => value > 0);
  table("more", ["", ""], [...certificates, ...counters]);
  before = state;
}
function tree(stacks, of) {
  const root = { seconds: 0, children: new Map() };
  for (const [seconds, path] of stacks) {
    if (of && path[0] !== of) continue;
    let node = root; node.seconds += seconds;
    for (const name of path) {
      if (!node.children.has(name)) node.children.set(name, { seconds: 0, children: new Map() });
      node = node.children.get(name); node.seconds += seconds;
    }
  }
  return root;
}
function draw(node, total, depth, kind) {
  const row = make("div", undefined, "row");
  for (const [name, child] of [...node.children].sort((a, b) => b[1].seconds - a[1].seconds)) {
    if (child.seconds / total < 0.002 || depth > 60) continue;
    const whole = make("div", undefined, "node"), own = depth === 1 ? name : kind;
    whole.style.width = `${100 * child.seconds / node.seconds}%`;
    const box = make("div", name, `box ${own || ""}`);
    box.title = `${name} – ${child.seconds.toFixed(2)} s`; box.tabIndex = 0; box.setAttribute("role", "treeitem");
    box.setAttribute("aria-label", box.title);
    whole.append(box, draw(child, total, depth + 1, own));
    row.append(whole);
  }
  return row;
}
function showSamples() {
  const select = byId("flame-of"), chosen = select.value;
  const names = [...new Set(samples.stacks.map(([, path]) => path[0]))].sort();
  select.replaceChildren(make("option", "all"), ...names.map((name) => make("option", name)));
  select.options[0].value = "";
  select.value = names.includes(chosen) ? chosen : "";
  const root = tree(samples.stacks, select.value);
  byId("flame").replaceChildren(root.seconds ? draw(root, root.seconds, 0, "") : make("p", "nothing has been seen yet"));
  const kinds = ["computing", "processor", "interpreter", "lock", "network", "sleeping", "other"];
  table("time", ["request", ...kinds], samples.routes.slice(0, 50).map((one) => [one.route, ...kinds.map((kind) => `${(one[kind] || 0).toFixed(1)} s`)]));
  const place = byId("slow");
  place.replaceChildren(...samples.slowest.slice(0, 20).map((one) => {
    const whole = make("details");
    whole.append(make("summary", `${one.seconds.toFixed(1)} s  ${one.method} ${one.path}  ${one.client || "unix"}  ${new Date(one.began * 1000).toLocaleTimeString()}`));
    for (const stack of one.stacks) whole.append(make("p", `${stack.count} × ${stack.class}`), make("pre", stack.frames.join("\n")));
    return whole;
  }));
  if (!samples.slowest.length) place.append(make("p", "none"));
}
async function turn() {
  try {
    show(await (await fetch("state")).json());
    if (turns++ % SAMPLES_EVERY === 0) {
      showHistory(await (await fetch("history")).json());
      samples = await (await fetch("samples")).json();
      showSamples();
    }
  } catch (error) {
    byId("head").textContent = `the server does not answer: ${error.message}`;
  }
  setTimeout(turn, EVERY_MS);
}
byId("flame-of").addEventListener("change", showSamples);
turn();
