-- What wrk sends and how it reports. Arguments after "--": upload=BYTES, close=1.
-- The report is one line, so that load.py need not read the text that wrk prints for people.

function init(args)
   for _, arg in ipairs(args) do
      local name, value = arg:match("^(%w+)=(%d+)$")
      if name == "upload" and tonumber(value) > 0 then
         wrk.method = "POST"
         wrk.headers["Content-Type"] = "application/octet-stream"
         wrk.body = string.rep("u", tonumber(value))
      elseif name == "close" and value == "1" then
         wrk.headers["Connection"] = "close"
      end
   end
end

function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format(
      '\nBENCH {"requests": %d, "micros": %d, "bytes": %d, "p50": %d, "p99": %d, "longest": %d, '
         .. '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
      summary.requests, summary.duration, summary.bytes,
      latency:percentile(50), latency:percentile(99), latency.max,
      e.connect, e.read, e.write, e.status, e.timeout))
end
