/** Upload of pictures, many in a call, with an answer for each. */

import { aborted } from "../../api.js";

const MOST = 16; // pictures of one call, so that answers come while others are still being sent
const MOST_BYTES = 8 * 1024 * 1024; // of one call, unless a single picture is larger

/**
 * Send files and call `onresults(file, results)` for each of them, in order. Results are answers
 * with their `file`, or {file, error: {detail, …}}: one, or of a zip file one for each picture in it.
 */
export async function upload({ api, path, files, signal, onresults }) {
  for (const group of groupsOf(files)) {
    const results = await answersTo(group);
    if (group.length === 1) onresults(group[0], results);
    else group.forEach((file, at) => onresults(file, [results[at]]));
  }

  async function answersTo(group) {
    const form = new FormData();
    for (const file of group) form.append("file", file, file.name);
    try {
      const answers = await api.post(path, { form, signal });
      // A single picture is answered by itself, without its name.
      return Array.isArray(answers) ? answers : [{ file: group[0].name, ...answers }];
    } catch (error) {
      if (aborted(error)) throw error;
      return group.map(({ name }) => ({ file: name, error }));
    }
  }
}

export function isZip({ name, type }) {
  return /zip/.test(type) || name.toLowerCase().endsWith(".zip");
}

/** Split files into calls. A zip file has its own, as its number of pictures is not known. */
function groupsOf(files) {
  const groups = [];
  let room = 0;
  for (const file of files) {
    const last = groups.at(-1);
    room -= file.size;
    if (!last || last.length === MOST || room < 0 || isZip(file) || isZip(last[0])) {
      groups.push([file]);
      room = MOST_BYTES - file.size;
    } else last.push(file);
  }
  return groups;
}
