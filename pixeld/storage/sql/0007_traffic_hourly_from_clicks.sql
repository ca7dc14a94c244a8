{{roll_up}}
CREATE MATERIALIZED VIEW IF NOT EXISTS {{create traffic_hourly_from_clicks}} TO {{stored traffic_hourly}} AS
SELECT
    toStartOfHour(at) AS hour, client, partner, quality, country, device, browser, os, language,
    count() AS clicks,
    toUInt64(0) AS impressions,
    uniqCombinedState(12)(visitor) AS visitors
FROM {{stored clicks}}
GROUP BY hour, client, partner, quality, country, device, browser, os, language
