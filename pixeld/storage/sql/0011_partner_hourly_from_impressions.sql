CREATE MATERIALIZED VIEW IF NOT EXISTS partner_hourly_from_impressions TO partner_hourly AS
SELECT
    toStartOfHour(at) AS hour, client, partner, quality,
    toUInt64(0) AS clicks,
    count() AS impressions,
    arrayReduce('uniqState', emptyArrayUInt64()) AS visitors
FROM impressions
GROUP BY hour, client, partner, quality
