-- Click ids whose visitors have taken back what affinities holds of them: no reader counts those from then on. A day longer than
-- affinities keeps anything, and in a partition for each day like it.
CREATE TABLE IF NOT EXISTS {{create forgotten}}
(
    at_ms UInt64,
    client String,
    click_id String,
    event_id String,
    at DateTime('UTC') DEFAULT toDateTime(intDiv(at_ms, 1000), 'UTC')
)
ENGINE = {{engine MergeTree}}
PARTITION BY toYYYYMMDD(at)
ORDER BY (client, click_id, at)
{{keep at}}
{{durable}}
{{spread cityHash64(event_id)}}
