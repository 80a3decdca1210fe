// What the operators' page does beyond links and forms: times in the viewer's zone, the live feed, charts.
// Without it the page works: times are UTC, and a reload brings the news.
"use strict";

const stamp = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function lasting(seconds) {
  if (seconds < 120) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

function showTimes(root) {
  for (const time of root.querySelectorAll("time:not([data-age])")) {
    time.title = time.dateTime;
    time.textContent = stamp.format(new Date(time.dateTime));
  }
  showAges();
}

function showAges() {
  for (const time of document.querySelectorAll("time[data-age]")) {
    time.title = stamp.format(new Date(time.dateTime));
    time.textContent = lasting((Date.now() - new Date(time.dateTime)) / 1000);
  }
}

// The new part takes the place of the old where it differs; what somebody is typing in is left alone.
function take(live, html) {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  for (const part of fresh.querySelectorAll("[id^=live-]")) {
    const old = document.getElementById(part.id);
    if (!old || old.dataset.from === part.innerHTML || old.contains(document.activeElement)) continue;
    old.dataset.from = part.innerHTML;
    old.replaceChildren(...[...part.childNodes].map((node) => document.importNode(node, true)));
    showTimes(old);
  }
  drawCharts();
}

function follow(live) {
  const word = document.getElementById("feed");
  const source = new EventSource(live.dataset.feed);
  source.addEventListener("live", (event) => take(live, event.data));
  source.addEventListener("open", () => { word.textContent = "live"; word.classList.remove("lost"); });
  source.addEventListener("error", () => {
    const ended = source.readyState === EventSource.CLOSED; // the session is over, or another page answered
    word.textContent = ended ? "ended: reload the page" : "no answer, trying again";
    word.classList.add("lost");
  });
  addEventListener("pagehide", () => source.close());
}

const charts = {};
const SERIES = {
  money: [["spent", "Spent", "#1f5fae"], ["held", "Set aside", "#c98a1b"]],
  counts: [["videos", "Videos", "#1d7a4c"], ["rejected", "Rejected", "#8a8f98"], ["blocked", "Blocked", "#b3261e"]],
};

function drawCharts() {
  const kept = document.getElementById("live-series");
  if (!kept || typeof uPlot === "undefined") return;
  const days = JSON.parse(kept.textContent);
  const x = days.map((each) => Date.parse(`${each.day}T00:00:00Z`) / 1000);
  const soft = getComputedStyle(document.body).getPropertyValue("--soft");
  const line = getComputedStyle(document.body).getPropertyValue("--line");
  for (const place of document.querySelectorAll("[data-chart]")) {
    const name = place.dataset.chart;
    const data = [x, ...SERIES[name].map(([key]) => days.map((each) => each[key]))];
    if (charts[name]) { charts[name].setData(data); continue; }
    const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    charts[name] = new uPlot({
      width: place.clientWidth, height: 200,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "UTC"),
      scales: { y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
      axes: [axis, { ...axis, size: 60, incrs: name === "money" ? undefined : [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000], values: (_, ticks) => ticks.map((tick) => (name === "money" ? `$${tick.toFixed(2)}` : tick)) }],
      series: [{ label: "Day (UTC)", value: (_, at) => (at === null ? "" : new Date(at * 1000).toISOString().slice(0, 10)) },
        ...SERIES[name].map(([, label, stroke]) => ({
          label, stroke, width: 2, points: { size: 4 },
          value: (_, v) => (v === null ? "" : name === "money" ? `$${v.toFixed(2)}` : v),
        }))],
    }, data, place);
  }
}

addEventListener("resize", () => {
  for (const place of document.querySelectorAll("[data-chart]")) {
    charts[place.dataset.chart]?.setSize({ width: place.clientWidth, height: 200 });
  }
});

document.addEventListener("DOMContentLoaded", () => {
  showTimes(document);
  setInterval(showAges, 1000);
  drawCharts();
  const live = document.getElementById("live");
  if (live) follow(live);
});
