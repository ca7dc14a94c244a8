-- Unique visitors are counted of clicks alone, hence the empty state.
{{roll_up}}
CREATE MATERIALIZED VIEW IF NOT EXISTS {{create traffic_hourly_from_impressions}} TO {{stored traffic_hourly}} AS
SELECT
    toStartOfHour(at) AS hour, client, partner, quality, country, device, browser, os, language,
    toUInt64(0) AS clicks,
    count() AS impressions,
    arrayReduce('uniqCombinedState(12)', emptyArrayUInt64()) AS visitors
FROM {{stored impressions}}
GROUP BY hour, client, partner, quality, country, device, browser, os, language
