-- Who came, by day (UTC), client and partner ('' for those with too few visitors of their own): what was released, one trait at a
-- time, in tens. Of two releases of a day the first one, as in the report. GLOBAL: a cluster's releases are asked for once.
SELECT date AS day, client, partner, dimension, value, visitors
FROM {{database}}.audience_releases
WHERE dimension != '' AND {{mine}}
    AND (day, released_ms) GLOBAL IN (
        SELECT day, min(released_ms)
        FROM {{database}}.audience_releases
        WHERE {{mine}}
        GROUP BY day
    )
