/** Charts of a card's figures on the test part and of the fit. */

import { svg } from "../../dom.js";
import { bar, curve, figure, guide, plot } from "../../plot.js";
import { figures } from "./words.js";

const UNIT = { low: 0, high: 1 };

/** Draw loss and accuracy by epoch; nothing where the card has no history. */
export function histories({ training: { history } }) {
  return ["loss", "accuracy"].filter((name) => history[name]?.length).map((name) => {
    const series = [[name, "series-a", "training"], [`val_${name}`, "series-b", "validation"]]
      .filter(([key]) => history[key]);
    const values = series.flatMap(([key]) => history[key]);
    const epochs = history[name].length;
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const room = (most - least) * 0.05 || 0.05;
    const last = series.map(([key, , words]) => `${words} ${figures(history[key].at(-1))}`).join(", ");
    return figure({
      title: name === "loss" ? "Loss by epoch" : "Accuracy by epoch",
      words:
        `After ${epochs} epochs: ${last}. Training figures are means over an epoch, with dropout and ` +
        `augmentation at work${series.length > 1 ? "" : "; no validation part was kept apart"}.`,
      picture: plot({
        description: `Line chart of ${name} over ${epochs} epochs. At the end: ${last}.`,
        x: { low: 1, high: Math.max(epochs, 2), label: "epoch" },
        y: { low: least - room, high: most + room, label: name },
        marks: (at) => series.map(([key, colour]) =>
          curve(at, history[key].map((value, place) => [place + 1, value]), colour)),
      }),
      legend: series.map(([, colour, words]) => [colour, words]),
      table: {
        columns: ["epoch", ...series.map(([, , words]) => words)],
        rows: history[name].map((_, place) => [
          place + 1,
          ...series.map(([key]) => figures(history[key][place])),
        ]),
      },
    });
  });
}

export function roc({ curves, metrics }) {
  return figure({
    title: "ROC",
    words: "What share of one class is flagged against the share of the other, at every threshold; the dotted line is chance.",
    picture: plot({
      description: `ROC curve, with an area under it of ${figures(metrics.auc)}.`,
      x: { ...UNIT, label: "false positive rate" },
      y: { ...UNIT, label: "true positive rate" },
      marks: (at) => [guide(at, [0, 0], [1, 1]), curve(at, curves.roc, "series-a")],
    }),
    legend: [["series-a", `AUC ${figures(metrics.auc)}`], ["guide", "chance"]],
    table: {
      columns: ["false positive rate", "true positive rate"],
      rows: curves.roc.map((point) => point.map((value) => figures(value))),
    },
  });
}

export function precisionRecall({ curves }) {
  const [no, yes] = curves.scores.map((bins) => bins.reduce((sum, rows) => sum + rows, 0));
  const rate = yes / (no + yes);
  return figure({
    title: "Precision and recall",
    words: "Of those flagged, how many are rightly so, against how many of all are found; the dotted line is chance.",
    picture: plot({
      description: `Precision-recall curve; chance is a precision of ${figures(rate, 3)}.`,
      x: { ...UNIT, label: "recall" },
      y: { ...UNIT, label: "precision" },
      marks: (at) => [guide(at, [0, rate], [1, rate]), curve(at, curves.precision_recall, "series-a")],
    }),
    legend: [["series-a", "the model"], ["guide", `chance, ${figures(rate, 3)}`]],
    table: {
      columns: ["recall", "precision"],
      rows: curves.precision_recall.map((point) => point.map((value) => figures(value))),
    },
  });
}

export function calibration({ curves, contract }) {
  const pictures = contract.labels.length > 0;
  const [said, found] = pictures
    ? ["probability of the answer", "share right"]
    : ["probability answered", "share found"];
  const bins = curves.calibration.map((bin) => ({ ...bin, interval: wilson(bin.share, bin.rows) }));
  return figure({
    title: "Calibration",
    words:
      "Of the rows that were answered about so, how many are so, with 95 % intervals (Wilson); on the " +
      "dotted line, probabilities are right on average.",
    picture: plot({
      description:
        `Calibration of ${bins.length} groups of rows by the probability answered, each with the share ` +
        "found. The numbers follow as a table.",
      x: { ...UNIT, label: said },
      y: { ...UNIT, label: found },
      marks: (at) => [
        guide(at, [0, 0], [1, 1]),
        bins.map(({ probability, share, interval: [low, high] }) => [
          guide(at, [probability, low], [probability, high], "whisker"),
          svg("circle", { cx: at.x(probability), cy: at.y(share), r: 4 }),
        ]),
      ],
    }),
    table: {
      columns: [said, found, "95 % interval", "rows"],
      rows: bins.map(({ probability, share, rows, interval }) => [
        figures(probability, 3),
        figures(share, 3),
        interval.map((end) => figures(end, 3)).join(" to "),
        rows.toLocaleString("en"),
      ]),
    },
  });
}

export function scores({ curves, threshold }, names) {
  const totals = curves.scores.map((bins) => bins.reduce((sum, rows) => sum + rows, 0));
  const shares = curves.scores.map((bins, of) => bins.map((rows) => rows / Math.max(totals[of], 1)));
  const width = 1 / shares[0].length;
  const high = Math.max(...shares.flat());
  return figure({
    title: "Scores by class",
    words: `What test rows of each class are answered; the line is the threshold, ${threshold}.`,
    picture: plot({
      description:
        `Two histograms, one over the other: the probabilities of ${names[0]} and of ${names[1]}. ` +
        "The numbers follow as a table.",
      x: { ...UNIT, label: "probability" },
      y: { low: 0, high, label: "share of the class", format: (share) => `${Math.round(share * 100)} %` },
      marks: (at) => [
        shares.map((of, place) => of.map((share, bin) =>
          bar(at, bin * width, (bin + 1) * width, share, place ? "series-b over" : "series-a over"))),
        guide(at, [threshold, 0], [threshold, high], "threshold"),
      ],
    }),
    legend: names.map((name, place) => [
      place ? "series-b" : "series-a",
      `${name}: ${totals[place].toLocaleString("en")} rows`,
    ]),
    table: {
      columns: ["probability", ...names],
      rows: curves.scores[0].map((_, bin) => [
        `${figures(bin * width, 2)} to ${figures((bin + 1) * width, 2)}`,
        ...curves.scores.map((bins) => bins[bin].toLocaleString("en")),
      ]),
    },
  });
}

/** Return the 95 % interval of a share of some rows (Wilson 1927). */
export function wilson(share, rows) {
  const z = 1.96;
  const middle = (share + z ** 2 / (2 * rows)) / (1 + z ** 2 / rows);
  const half = (z / (1 + z ** 2 / rows)) * Math.sqrt((share * (1 - share)) / rows + (z / (2 * rows)) ** 2);
  return [Math.max(middle - half, 0), Math.min(middle + half, 1)];
}
