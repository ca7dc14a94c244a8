-- Unique visitors are counted of clicks alone, hence the empty state.
CREATE MATERIALIZED VIEW IF NOT EXISTS traffic_hourly_from_impressions TO traffic_hourly AS
SELECT
    toStartOfHour(at) AS hour, client, partner, quality, country, device, browser, os, language,
    toUInt64(0) AS clicks,
    count() AS impressions,
    arrayReduce('uniqState', emptyArrayUInt64()) AS visitors
FROM impressions
GROUP BY hour, client, partner, quality, country, device, browser, os, language
