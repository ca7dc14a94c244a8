-- Orders reported with test=1: kept apart, so that no report can reach them by leaving out a condition.
CREATE TABLE IF NOT EXISTS {{create test_order_events}}
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
    at DateTime('UTC') DEFAULT toDateTime(intDiv(at_ms, 1000), 'UTC')
)
ENGINE = {{engine MergeTree}}
PARTITION BY toYYYYMM(at)
ORDER BY (client, order_id, at)
{{keep at}}
{{durable}}
{{spread cityHash64(client, order_id)}}
