-- Clicks and impressions by the hour (UTC) and audience. Merges sum the counts and join the visitor states of equal keys;
-- until they have, several rows stand for one key: readers use sum() and uniqCombinedMerge(12)().
{{roll_up}}
CREATE TABLE IF NOT EXISTS {{create traffic_hourly}}
(
    hour DateTime('UTC'),
    client {{text}},
    partner {{text}},
    quality {{text}},
    country {{text}},
    device {{text}},
    browser {{text}},
    os {{text}},
    language {{text}},
    clicks UInt64,
    impressions UInt64,
    visitors AggregateFunction(uniqCombined(12), UInt64)
)
ENGINE = {{engine SummingMergeTree}}
PARTITION BY toYYYYMM(hour)
ORDER BY (client, hour, partner, quality, country, device, browser, os, language)
{{keep hour}}
{{durable}}
{{spread cityHash64(client, partner)}}
