/** The row in a form, kept in the tab's session storage so that a reload does not lose it. */

/** Create {read, keep} of texts by field; if the browser refuses storage, nothing is kept. */
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
