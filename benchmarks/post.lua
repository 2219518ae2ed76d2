-- wrk -s post.lua URL -- CONTENT_TYPE BODY_FILE [HEADER VALUE ...]
-- Posts the file again and again, and prints what was measured as one line of JSON.

function init(arguments)
  local file = assert(io.open(arguments[2], "rb"))
  wrk.method, wrk.body = "POST", file:read("*a")
  wrk.headers["Content-Type"] = arguments[1]
  for place = 3, #arguments - 1, 2 do
    wrk.headers[arguments[place]] = arguments[place + 1]
  end
  file:close()
end

function done(summary, latency)
  local errors, failed = summary.errors, 0
  for _, kind in ipairs({ "connect", "read", "write", "status", "timeout" }) do
    failed = failed + errors[kind]
  end
  io.write(string.format(
    '{"requests": %d, "failed": %d, "seconds": %.6f, '
      .. '"p50_ms": %.4f, "p90_ms": %.4f, "p99_ms": %.4f, "max_ms": %.4f}\n',
    summary.requests, failed, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(90) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3
  ))
end
