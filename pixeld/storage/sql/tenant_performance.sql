-- A tenant's traffic by day (UTC), client and partner, without bots. Visitors of two rows don't add up: some are in both.
SELECT
    toDate(start) AS day,
    client,
    partner,
    sum(traffic.impressions) AS impressions,
    sum(traffic.clicks) AS clicks,
    uniqCombinedMerge(12)(traffic.visitors) AS unique_clicks
FROM {{database}}.traffic_grains AS traffic
WHERE grain = 'partner day' AND quality = 'human' AND {{mine}}
GROUP BY day, client, partner
