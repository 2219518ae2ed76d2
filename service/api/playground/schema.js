/** The tasks of the service, read from its OpenAPI schema. */

/** Return the tasks, pictures first: {name, title, kind: "pictures" | "row", predict, batch, explain}. */
export function tasksOf(schema) {
  const tasks = Object.entries(schema.paths).flatMap(([path, { post }]) => {
    const name = /^\/v1\/([^/]+)\/predict$/.exec(path)?.[1];
    if (!name || !post) return [];
    const takes = post.requestBody.content;
    return {
      name,
      title: post.summary.split(": ")[0],
      kind: "multipart/form-data" in takes ? "pictures" : "row",
      /** The operation of its predict route: requestBody, responses, description. */
      predict: post,
      /** True if it has a route for batches. */
      batch: `${path}/batch` in schema.paths,
      /** True if it has a route for explanations. */
      explain: `/v1/${name}/explain` in schema.paths,
    };
  });
  return [...tasks.filter(isPictures), ...tasks.filter((task) => !isPictures(task))];
}

/** Resolve a `$ref`, if there is one. */
export function resolved(schema, node) {
  if (!node?.$ref) return node;
  const steps = node.$ref.slice(2).split("/");
  return resolved(
    schema,
    steps.reduce((at, step) => at[step], schema),
  );
}

/** Return every schema that the 200 of a call allows, resolved. */
export function answersOf(schema, operation) {
  const node = operation.responses["200"].content["application/json"].schema;
  return (node.anyOf ?? [node]).map((one) => resolved(schema, one));
}

function isPictures({ kind }) {
  return kind === "pictures";
}
