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
    word.textContent = ended ? "ended: reload the page" : "connection lost, retrying";
    word.classList.add("lost");
  });
  addEventListener("pagehide", () => source.close());
}

const charts = {};
let days = [];
const HALF_A_DAY = 43200;
const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000];
const money = (amount) => `$${amount.toFixed(2)}`;
const KINDS = {
  money: { series: [["held", "Set aside", "#c98a1b"], ["spent", "Spent", "#1f5fae"]], words: money },
  counts: {
    series: [["blocked", "Blocked", "#b3261e"], ["rejected", "Rejected", "#8a8f98"], ["videos", "Videos", "#1d7a4c"]],
    words: String, incrs: WHOLE,
  },
};

// A day is one bar: its parts lie on one another, the first named on top, so that none hides another.
function stacked(series) {
  return series.map((_, place) => days.map((day) => series.slice(place).reduce((sum, [key]) => sum + day[key], 0)));
}

function drawCharts() {
  const kept = document.getElementById("live-series");
  if (!kept || typeof uPlot === "undefined") return;
  days = JSON.parse(kept.textContent);
  const x = days.map((day) => Date.parse(`${day.day}T00:00:00Z`) / 1000);
  for (const place of document.querySelectorAll("[data-chart]")) {
    const kind = KINDS[place.dataset.chart];
    const data = [x, ...stacked(kind.series)];
    if (charts[place.dataset.chart]) charts[place.dataset.chart].setData(data);
    else charts[place.dataset.chart] = new uPlot(looks(kind, place.clientWidth), data, place);
  }
}

function looks({ series, words, incrs }, width) {
  const style = getComputedStyle(document.body);
  const line = { stroke: style.getPropertyValue("--line"), width: 1 };
  const axis = { stroke: style.getPropertyValue("--soft"), grid: line, ticks: line };
  return {
    width, height: 200,
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "UTC"),
    scales: {
      x: { range: (_, first, last) => [first - HALF_A_DAY, last + HALF_A_DAY] },
      y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] },
    },
    axes: [axis, { ...axis, size: 60, incrs, values: (_, ticks) => ticks.map(words) }],
    series: [
      { label: "Day (UTC)", value: (_, at) => (at === null ? "" : new Date(at * 1000).toISOString().slice(0, 10)) },
      ...series.map(([key, label, fill]) => ({
        label, fill, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.7, 40] }),
        value: (_, __, ___, at) => (at === null ? "" : words(days[at][key])),
      })),
    ],
  };
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
