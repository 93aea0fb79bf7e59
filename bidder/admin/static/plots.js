// A plot of the last minutes, drawn by uPlot: lines over time, in the colours of the style sheet.
//
//   const plot = timePlot(element, legend, [{ label: "requests", tone: "one", show: (value) => "612" }]);
//   plot.draw([[seconds, ...], [value, ...]]);
//
// The legend shows the latest values, or those under the pointer. Colours are read again when the reader's
// system turns dark or light.

const HEIGHT = 190;
const plots = new Set();

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export function timePlot(element, legend, series, { max = null } = {}) {
  const names = series.map((one) => {
    const item = document.createElement("span");
    const value = document.createElement("b");
    item.className = one.tone;
    item.append(document.createElement("i"), `${one.label} `, value);
    legend.append(item);
    return value;
  });
  let data = [[], ...series.map(() => [])];
  let chart = null;

  function tell(index) {
    series.forEach((one, at) => {
      const value = index === null || index === undefined ? data[at + 1].at(-1) : data[at + 1][index];
      names[at].textContent = value === null || value === undefined ? "–" : one.show(value);
    });
  }

  function make() {
    chart?.destroy();
    const axis = {
      stroke: colour("quiet"), font: "12px system-ui", ticks: { show: false },
      grid: { stroke: colour("grid"), width: 1 },
    };
    chart = new uPlot({
      width: Math.max(element.clientWidth, 120), height: HEIGHT, padding: [8, 12, 0, 0],
      legend: { show: false }, cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { y: { range: (_, low, high) => [0, max ?? Math.max((high || 0) * 1.1, 1)] } },
      series: [{}, ...series.map((one) => ({
        stroke: colour(one.tone), width: 2, points: { show: false }, spanGaps: false,
        fill: one.fill ? `${colour(one.tone)}22` : undefined,
      }))],
      axes: [
        { ...axis, space: 70, size: 28, values: (_, splits, axisIndex, space, step) => splits.map((at) => clock(at, step < 60)) },
        { ...axis, size: 46, values: (_, splits) => splits.map((at) => short(at)) },
      ],
      hooks: { setCursor: [(self) => tell(self.cursor.idx)] },
    }, data, element);
  }

  const plot = {
    draw(columns) {
      data = columns;
      chart.setData(data);
      tell(chart.cursor.idx);
    },
    make,
  };
  make();
  tell(null);
  new ResizeObserver(() => chart.setSize({ width: Math.max(element.clientWidth, 120), height: HEIGHT })).observe(element);
  plots.add(plot);
  return plot;
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach((plot) => plot.make()));

const clock = (at, seconds) => new Date(at * 1000).toLocaleTimeString([], {
  hour: "2-digit", minute: "2-digit", second: seconds ? "2-digit" : undefined, hourCycle: "h23",
});
const short = (value) => value >= 10000 ? `${value / 1000}k` : String(Math.round(value * 1000) / 1000);
