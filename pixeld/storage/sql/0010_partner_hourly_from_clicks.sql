CREATE MATERIALIZED VIEW IF NOT EXISTS partner_hourly_from_clicks TO partner_hourly AS
SELECT
    toStartOfHour(at) AS hour, client, partner, quality,
    count() AS clicks,
    toUInt64(0) AS impressions,
    uniqState(visitor) AS visitors
FROM clicks
GROUP BY hour, client, partner, quality
