-- Sums of released numbers, and of nothing else.
SELECT
    value,
    sum(visitors) AS visitor_count,
    min(k) AS least
FROM audience_releases
WHERE dimension = {trait:String}
    AND day >= {first:UInt32}
    AND day <= {last:UInt32}
    AND (day, released_ms) IN (SELECT day, min(released_ms) FROM audience_releases GROUP BY day)
    AND {{scope}}
    AND ({client:String} = '' OR client = {client:String})
    AND ({partner:String} = '' OR partner = {partner:String})
GROUP BY value
ORDER BY value
