-- Of orders whose visitors have agreed: the categories, comma-joined. A week, in which they become counts of many visitors.
-- A partition is a day, so that what is past its time is dropped and not rewritten.
CREATE TABLE IF NOT EXISTS {{create affinities}}
(
    at_ms UInt64,
    client String,
    partner String,
    click_id String,
    visitor UInt64,
    categories String,
    event_id String,
    at DateTime('UTC') DEFAULT toDateTime(intDiv(at_ms, 1000), 'UTC')
)
ENGINE = {{engine MergeTree}}
PARTITION BY toYYYYMMDD(at)
ORDER BY (client, click_id, at)
{{keep at}}
{{durable}}
{{spread cityHash64(event_id)}}
