-- Clicks and impressions of visitors who may not be tracked: how many, by the hour (UTC), and nothing else. Of a single one not
-- even when it was is kept, where the engine can tell the hour from a value that it doesn't store. Merges sum the counts; until
-- they have, several rows stand for one key: readers use sum().
CREATE TABLE IF NOT EXISTS {{create refusals}}
(
    at_ms UInt64 {{passing}},
    client {{text}},
    partner {{text}},
    what {{text}},
    consent {{text}},
    event_id String {{passing}},
    hour DateTime('UTC') DEFAULT toStartOfHour(toDateTime(intDiv(at_ms, 1000), 'UTC')),
    events UInt64 DEFAULT 1
)
ENGINE = {{engine SummingMergeTree events}}
PARTITION BY toYYYYMM(hour)
ORDER BY (client, hour, partner, what, consent)
{{keep hour}}
{{durable}}
{{spread cityHash64(client, partner)}}
