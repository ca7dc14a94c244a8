CREATE MATERIALIZED VIEW IF NOT EXISTS traffic_hourly_from_clicks TO traffic_hourly AS
SELECT
    toStartOfHour(at) AS hour, client, partner, quality, country, device, browser, os, language,
    count() AS clicks,
    toUInt64(0) AS impressions,
    uniqState(visitor) AS visitors
FROM clicks
GROUP BY hour, client, partner, quality, country, device, browser, os, language
