/** The row that stands in a form, kept in this tab so that a reload does not lose it. */

/** {read, keep} of texts by field; without storage, which a browser may refuse, nothing is kept. */
export function kept(name) {
  const key = `foretell.row.${name}`;

  function read() {
    try {
      return JSON.parse(sessionStorage.getItem(key)) ?? undefined;
    } catch {
      return undefined;
    }
  }

  function keep(texts) {
    try {
      sessionStorage.setItem(key, JSON.stringify(texts));
    } catch {
      // The form still has it.
    }
  }

  return { read, keep };
}
