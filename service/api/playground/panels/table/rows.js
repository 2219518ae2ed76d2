/* Incremental parsers of the service's answers: pieces of text of any length -> rows. */

/** A parser of the service's CSV (RFC 4180): lines end in \n, the first has the names. */
export class CsvRows {
  #rest = "";
  #names = null;

  /** Yield the rows that a piece completes: objects of text by name. */
  *push(piece) {
    const text = this.#rest + piece;
    let start = 0;
    let end = text.indexOf("\n");
    while (end >= 0) {
      const line = text.slice(start, end);
      if (line.includes('"') && isOpen(line)) {
        end = text.indexOf("\n", end + 1); // a line break within quotes
        continue;
      }
      yield* this.#row(line);
      start = end + 1;
      end = text.indexOf("\n", start);
    }
    this.#rest = text.slice(start);
  }

  /** Yield the last row, if no line end followed it. */
  *end() {
    if (this.#rest) yield* this.#row(this.#rest);
    this.#rest = "";
  }

  *#row(line) {
    const cells = cellsOf(line);
    if (this.#names === null) {
      this.#names = cells;
      return;
    }
    const row = {};
    for (let place = 0; place < cells.length; place += 1) row[this.#names[place]] = cells[place];
    yield row;
  }
}

/** A parser of JSON objects, one per line. */
export class NdjsonRows {
  #rest = "";

  /** Yield the rows that a piece completes: objects by name. */
  *push(piece) {
    const lines = (this.#rest + piece).split("\n");
    this.#rest = lines.pop();
    for (const line of lines) if (line) yield JSON.parse(line);
  }

  /** Yield the last row, if no line end followed it. */
  *end() {
    if (this.#rest) yield JSON.parse(this.#rest);
    this.#rest = "";
  }
}

function isOpen(line) {
  let quotes = 0;
  for (let place = line.indexOf('"'); place >= 0; place = line.indexOf('"', place + 1)) quotes += 1;
  return quotes % 2 === 1;
}

function cellsOf(line) {
  if (!line.includes('"')) return line.split(",");
  const cells = [];
  let start = 0;
  while (start <= line.length) {
    let end = start;
    if (line[start] === '"') {
      do end = line.indexOf('"', end + 1) + 1;
      while (line[end] === '"');
      cells.push(line.slice(start + 1, end - 1).replaceAll('""', '"'));
    } else {
      end = line.indexOf(",", start);
      if (end < 0) end = line.length;
      cells.push(line.slice(start, end));
    }
    start = end + 1;
  }
  return cells;
}
