/** The call that the page makes, as curl and as Python, to be copied. */

import { h } from "./dom.js";
import { tabs } from "./tabs.js";

/**
 * Create a card with one call; `show(call)` shows another one. A call is
 *
 *     { path: "v1/heart/predict", json: {…} }                    a value
 *     { path: "v1/digits/predict", file: "seven.png", type: "image/png" }     a picture
 *     { path: "v1/heart/predict/batch", file: "rows.csv", type: "text/csv",
 *       accept: "text/csv", output: "scored.csv" }              a file in, a file out
 *     { path: "v1/models/heart" }                                GET, as nothing goes with it
 *
 * `method` if it is neither. The Python uses the standard library only, so it runs as pasted.
 */
export function snippet(call) {
  const curl = listing("curl");
  const python = listing("Python");
  const element = h(
    "section",
    { class: "card snippet", "aria-label": "The same call from elsewhere" },
    h("h2", {}, "The same call"),
    tabs("Language", [
      { title: "curl", content: curl.element },
      { title: "Python", content: python.element },
    ]),
  );

  function show(other) {
    curl.write(asCurl(other));
    python.write(asPython(other));
  }

  show(call);
  return Object.assign(element, { show });
}

export function asCurl({ method, path, json, file, type, accept, output }) {
  const parts = [`curl -s ${quoted(absolute(path))}`];
  if (method && method !== methodOf({ json, file })) parts.push(`-X ${method}`);
  if (accept) parts.push(`-H ${quoted(`Accept: ${accept}`)}`);
  if (json !== undefined) {
    parts.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(json))}`);
  } else if (file) {
    parts.push(`-H ${quoted(`Content-Type: ${type}`)}`, `--data-binary ${quoted(`@${file}`)}`);
  }
  if (output) parts.push(`-o ${quoted(output)}`);
  return parts.join(" \\\n  ");
}

export function asPython({ method, path, json, file, type, accept, output }) {
  const headers = {};
  if (accept) headers.Accept = accept;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  else if (file) headers["Content-Type"] = type;
  const lines = [output ? "import urllib.request" : "import json\nimport urllib.request", ""];
  if (output && json !== undefined) lines[0] = `import json\n${lines[0]}`;
  const given = [`    ${literal(absolute(path))},`];
  if (json !== undefined) {
    lines.push(`payload = ${literal(json)}`);
    given.push("    json.dumps(payload).encode(),");
  } else if (file) {
    lines.push(`with open(${literal(file)}, "rb") as file:`, "    body = file.read()");
    given.push("    body,");
  }
  if (Object.keys(headers).length) given.push(`    headers=${literal(headers)},`);
  given.push(`    method=${literal(method ?? methodOf({ json, file }))},`);
  lines.push("request = urllib.request.Request(", ...given, ")");
  lines.push("with urllib.request.urlopen(request) as answer:");
  if (output)
    lines.push(
      `    with open(${literal(output)}, "wb") as file:`,
      "        file.write(answer.read())",
    );
  else lines.push("    print(json.load(answer))");
  return lines.join("\n");
}

function methodOf({ json, file }) {
  return json === undefined && !file ? "GET" : "POST";
}

function absolute(path) {
  return new URL(path, document.baseURI).href;
}

/** Quote a text for a POSIX shell. */
function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Format JSON as Python source. */
function literal(value) {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") {
    const entries = Object.entries(value).map(([key, of]) => `${literal(key)}: ${literal(of)}`);
    return `{${entries.join(", ")}}`;
  }
  return JSON.stringify(value); // Python reads JSON's strings and numbers as they are
}

function listing(language) {
  const code = h("code");
  const done = h("span", { class: "quiet", role: "status" });
  const element = h(
    "div",
    { class: "listing" },
    h("pre", { tabindex: 0, role: "region", "aria-label": `The call as ${language}` }, code),
    h("button", { type: "button", class: "small", onclick: copy }, `Copy ${language}`),
    done,
  );

  async function copy() {
    try {
      await navigator.clipboard.writeText(code.textContent);
      done.textContent = "Copied";
    } catch {
      // Without https, pages have no clipboard: select the text for the person to copy.
      getSelection().selectAllChildren(code);
      done.textContent = "Selected: copy it with the keyboard";
    }
    setTimeout(() => (done.textContent = ""), 4000);
  }

  return { element, write: (text) => (code.textContent = text) };
}
