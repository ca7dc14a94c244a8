{{roll_up}}
CREATE MATERIALIZED VIEW IF NOT EXISTS {{create partner_hourly_from_clicks}} TO {{stored partner_hourly}} AS
SELECT
    toStartOfHour(at) AS hour, client, partner, quality,
    count() AS clicks,
    toUInt64(0) AS impressions,
    uniqState(visitor) AS visitors
FROM {{stored clicks}}
GROUP BY hour, client, partner, quality
