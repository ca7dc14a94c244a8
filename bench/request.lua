-- Chrome's headers and a valid referral cookie; every request is another order.
local cookie, path = os.getenv("BENCH_COOKIE"), os.getenv("BENCH_PATH")
local thread, n = 0, 0
function setup(t) t:set("id", thread); thread = thread + 1 end
wrk.headers["Cookie"] = cookie
wrk.headers["User-Agent"] = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
wrk.headers["Accept"] = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
wrk.headers["Accept-Encoding"] = "gzip, deflate, br, zstd"
wrk.headers["Accept-Language"] = "de-DE,de;q=0.9,en;q=0.8"
wrk.headers["Referer"] = "https://shop.example/"
wrk.headers["Sec-Fetch-Dest"] = "image"
wrk.headers["Sec-Fetch-Mode"] = "no-cors"
wrk.headers["Sec-Fetch-Site"] = "cross-site"
function request()
  n = n + 1
  return wrk.format("GET", path .. id .. "-" .. n)
end
function done(summary, latency, requests)
  io.write(string.format('{"requests":%d,"seconds":%f,"errors":%d,"p50_ms":%f,"p99_ms":%f}\n',
    summary.requests, summary.duration / 1e6,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
