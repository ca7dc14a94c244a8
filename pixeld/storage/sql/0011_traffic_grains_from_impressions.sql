{{roll_up}}
CREATE MATERIALIZED VIEW IF NOT EXISTS {{create traffic_grains_from_impressions}} TO {{stored traffic_grains}} AS
SELECT
    grain,
    if(grain IN ('client day', 'partner day'), toStartOfDay(at), toStartOfHour(at)) AS start,
    client,
    if(grain IN ('client day', 'client hour'), '', partner) AS partner,
    quality,
    toUInt64(0) AS clicks,
    count() AS impressions,
    arrayReduce('uniqCombinedState(12)', emptyArrayUInt64()) AS visitors
FROM {{stored impressions}}
ARRAY JOIN ['client day', 'client hour', 'partner day', 'partner hour'] AS grain
GROUP BY grain, start, client, partner, quality
