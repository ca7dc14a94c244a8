-- One order into the stream, by a connection from a pool; empty_gif answers when it is stored, a 503 when it isn't.
local redis = require "nginx.redis"

local args, var = ngx.req.get_uri_args(), ngx.var
local connection = redis:new()
connection:set_timeout(10000)
if not connection:connect(var.redis) then
  return ngx.exit(503)
end
local id = connection:xadd("events", "*",
  "at_ms", ngx.now() * 1000, "client", var.client,
  "order", args.order or "", "amount", args.amount or "", "currency", args.currency or "",
  "referral", var.cookie_pxref or "", "agent", var.http_user_agent or "", "language", var.http_accept_language or "")
if not id then
  return ngx.exit(503)
end
connection:set_keepalive(60000, 2048)
ngx.header["Cache-Control"] = "no-store"
