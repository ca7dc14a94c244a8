{{roll_up}}
CREATE MATERIALIZED VIEW IF NOT EXISTS {{create partner_hourly_from_impressions}} TO {{stored partner_hourly}} AS
SELECT
    toStartOfHour(at) AS hour, client, partner, quality,
    toUInt64(0) AS clicks,
    count() AS impressions,
    arrayReduce('uniqState', emptyArrayUInt64()) AS visitors
FROM {{stored impressions}}
GROUP BY hour, client, partner, quality
