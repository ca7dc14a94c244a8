-- traffic_hourly without the audience, for the reports that are asked for most. Joining a visitor state costs some 0.7 µs a
-- row: for 20 million clicks that 50 clients' 200 partners brought in a month, 0.6 s from here, 16 s from traffic_hourly.
CREATE TABLE IF NOT EXISTS partner_hourly
(
    hour DateTime('UTC'),
    client {{text}},
    partner {{text}},
    quality {{text}},
    clicks UInt64,
    impressions UInt64,
    visitors AggregateFunction(uniq, UInt64)
)
ENGINE = SummingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (client, hour, partner, quality)
{{durable}}
