-- Who comes, by month (UTC), client and partner: one trait at a time, and only groups of 10 visitors or more. Combined traits
-- of a small shop would soon be one person.
SELECT
    toStartOfMonth(hour) AS month,
    client,
    partner,
    trait.1 AS dimension,
    trait.2 AS value,
    sum(traffic.clicks) AS clicks,
    uniqCombinedMerge(12)(traffic.visitors) AS visitors
FROM {{database}}.traffic_hourly AS traffic
ARRAY JOIN
    [('country', toString(country)), ('device', toString(device)), ('browser', toString(browser)), ('os', toString(os)),
     ('language', toString(language))] AS trait
WHERE quality = 'human' AND {{mine}}
GROUP BY month, client, partner, dimension, value
HAVING visitors >= 10
