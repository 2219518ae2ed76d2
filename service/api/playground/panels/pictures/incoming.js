/** Files that are dropped or pasted anywhere on the page. */

const NEVER_PICTURES = /^(\.|Thumbs\.db$|desktop\.ini$)/i; // files of operating systems

/** Call `add(files)`, and `over(true)` while files are dragged. Returns a function that ends it. */
export function incoming({ add, over }) {
  const controller = new AbortController();
  const on = (event, act) => document.addEventListener(event, act, { signal: controller.signal });
  on("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    over(true);
  });
  on("dragleave", (event) => over(event.relatedTarget !== null));
  on("drop", async (event) => {
    event.preventDefault(); // or the browser leaves the page to show the file
    over(false);
    add(await filesOf(event.dataTransfer));
  });
  on("paste", ({ clipboardData }) => {
    if (clipboardData.files.length) add([...clipboardData.files]);
  });
  return () => controller.abort();
}

/** Return the files that were dropped, including those in folders. */
async function filesOf(dropped) {
  // Both lists are empty after the first await.
  const files = [...dropped.files];
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry?.());
  if (!entries.some((entry) => entry?.isDirectory)) return files;
  return (await Promise.all(entries.map(within))).flat();
}

async function within(entry) {
  if (!entry || NEVER_PICTURES.test(entry.name)) return [];
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    // It returns about a hundred entries at a time, and none at the end.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return (await Promise.all(found.map(within))).flat();
    found.push(...some);
  }
}
