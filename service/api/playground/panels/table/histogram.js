/** The histogram of a table's scores, with the threshold. */

import { count } from "../../format.js";
import { bar, figure, guide, plot, ticks } from "../../plot.js";
import { BINS } from "./summary.js";

/** Draw `bins`, the scored rows by probability in intervals of equal width. */
export function histogram({ bins, scored, flagged, decision }, threshold) {
  const high = Math.max(...bins, 1);
  const edges = bins.map((_, place) => [place / BINS, (place + 1) / BINS]);
  const legend = [
    ["series-a", `below ${threshold}: ${count(scored - flagged, "row")}`],
    ["series-b", `from ${threshold}, ${decision}: ${count(flagged, "row")}`],
  ];
  return figure({
    title: "How the scores are spread",
    words: `${count(scored, "row")} by probability; the line is the threshold, ${threshold}.`,
    picture: plot({
      description:
        `Histogram of ${count(scored, "score")} from 0 to 1 with the threshold at ${threshold}: ` +
        `${count(flagged, "row")} at or above it. The numbers follow as a table.`,
      height: 240,
      x: { low: 0, high: 1, label: "probability" },
      y: { low: 0, high, label: "rows", ticks: ticks(0, high, 4).filter(Number.isInteger), format: short },
      marks: (at) => [
        bins.map((rows, place) => {
          const [low, up] = edges[place];
          return bar(at, low, up, rows, low >= threshold - 1e-9 ? "series-b" : "series-a");
        }),
        guide(at, [threshold, 0], [threshold, high], "threshold"),
      ],
    }),
    legend,
    table: {
      caption: "Scored rows by probability",
      columns: ["probability", "rows"],
      rows: bins.map((rows, place) => [
        edges[place].map((edge) => edge.toFixed(2)).join(" to "),
        rows.toLocaleString("en"),
      ]),
    },
  });
}

/** Format 150000 as 150K, which fits beside an axis. */
function short(rows) {
  return rows.toLocaleString("en", { notation: "compact" });
}
