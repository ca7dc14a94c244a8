-- Who came, by day (UTC), client and partner ('' for those with too few visitors of their own): what was released, one trait at a
-- time, in tens.
SELECT date AS day, client, partner, dimension, value, visitors
FROM {{database}}.audience_releases
WHERE dimension != '' AND {{mine}}
