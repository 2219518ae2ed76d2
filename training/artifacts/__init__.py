"""Parts of an artifact: graph, golden inputs and answers, background rows."""
