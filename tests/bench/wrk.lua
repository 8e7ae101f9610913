-- SPDX-License-Identifier: BSD-2-Clause
-- Says what wrk measured in one line that a script can read: microseconds, bytes, requests.
done = function(summary, latency, requests)
	local e = summary.errors
	io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration, summary.bytes,
		latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
