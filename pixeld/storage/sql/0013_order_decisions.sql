-- What somebody decided about an order, whichever of its observations stands: the newest counts, by (at_ms, event_id). Kept as
-- long as the order, which it can't be older than. The keys are those of order_events.
CREATE TABLE IF NOT EXISTS {{create order_decisions}}
(
    at_ms UInt64,
    client String,
    order_id String,
    status String,
    who String,
    reason String,
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
