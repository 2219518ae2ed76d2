/** Calls of the service. Paths are relative to the page, so that a root path does not matter. */

/** The error of a call: the service's problem details (RFC 9457), or that there was no answer. */
export class Problem extends Error {
  constructor({ status = 0, detail, errors = [], suggestions = [], request_id: requestId }) {
    super(detail);
    this.status = status;
    this.detail = detail;
    /** The bad fields, each as {field, expected, got}. */
    this.errors = errors;
    /** Query parameters that would settle it, each as `name=value`. */
    this.suggestions = suggestions;
    this.requestId = requestId;
  }
}

export function get(path, options = {}) {
  return answered(path, { ...options, method: "GET" });
}

/** Send `json` (a value), `form` (FormData) or `body` (bytes or a Blob, with its `type`). */
export function post(path, options = {}) {
  return answered(path, { ...options, method: "POST" });
}

/**
 * Call the service and return the Response; raises Problem unless its status is 2xx.
 *
 * `signal` aborts: then the error is an AbortError, which `aborted` tells apart.
 */
export async function send(path, { method = "GET", json, form, body, type, accept, signal } = {}) {
  const headers = {};
  if (accept) headers.Accept = accept;
  if (json !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(json);
  } else if (form)
    body = form; // the browser adds the boundary
  else if (type) headers["Content-Type"] = type;
  let response;
  try {
    response = await fetch(path, { method, headers, body, signal });
  } catch (error) {
    if (aborted(error)) throw error;
    throw new Problem({ detail: "The service did not answer. Is it running?" });
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

export function aborted(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

async function answered(path, options) {
  const response = await send(path, options);
  return response.json();
}

async function problemOf(response) {
  const { status } = response;
  if (response.headers.get("content-type")?.startsWith("application/problem+json")) {
    return new Problem(await response.json());
  }
  return new Problem({ status, detail: `The answer was ${status} ${response.statusText}` });
}
