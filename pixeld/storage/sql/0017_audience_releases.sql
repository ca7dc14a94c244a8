-- How many visitors had a trait, by day (UTC), client and partner ('' for those with too few visitors of their own): numbers
-- that `domain.audience` lets out, of `k` visitors or more each, in tens. Nobody is in it, so that it outlives the clicks. A day
-- is released whole, by one insert, and marked by a row without a trait; should there be two releases of a day, which an engine
-- without insert tokens can't exclude, the first one holds: readers ask for min(released_ms).
CREATE TABLE IF NOT EXISTS {{create audience_releases}}
(
    day UInt16,
    client String,
    partner String,
    dimension String,
    value String,
    visitors UInt64,
    k UInt32,
    released_ms UInt64,
    date Date DEFAULT toDate(day)
)
ENGINE = {{engine MergeTree}}
PARTITION BY toYYYYMM(date)
ORDER BY (dimension, client, day, partner)
{{durable}}
{{spread cityHash64(day)}}
