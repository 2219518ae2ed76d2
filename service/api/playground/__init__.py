"""The playground: HTML, CSS and JavaScript as they are sent, without a build step."""
