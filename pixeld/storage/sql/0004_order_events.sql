-- Every observation of every order. Sorted by order id, so that the observations of one order lie together.
-- `order_key` is for what would be too slow with texts; two orders may share one, so that it excludes and never decides.
-- Both keys together decide: that two orders share both happens by chance once in 10**20 reports of 1 million orders.
CREATE TABLE IF NOT EXISTS {{create order_events}}
(
    at_ms UInt64,
    client String,
    order_id String,
    partner String,
    method String,
    click_id String,
    clicked_at UInt32,
    amount_minor Int64,
    currency String,
    coupon String,
    customer String,
    quality String,
    consent String,
    country String,
    device String,
    browser String,
    os String,
    language String,
    commission_minor Int64,
    locks_at UInt32,
    event_id String,
    at DateTime('UTC') DEFAULT toDateTime(intDiv(at_ms, 1000), 'UTC'),
    order_key UInt64 DEFAULT cityHash64(client, order_id),
    second_key UInt64 DEFAULT sipHash64(client, order_id)
)
ENGINE = {{engine MergeTree}}
PARTITION BY toYYYYMM(at)
ORDER BY (client, order_id, at)
{{keep at}}
{{durable}}
{{spread cityHash64(client, order_id)}}
