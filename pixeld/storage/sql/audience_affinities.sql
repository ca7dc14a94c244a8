-- A client's buyers of a day, each once: which partner earned the first order, and the categories of what that partner earned.
SELECT
    argMin(earner, first_ms) AS party,
    visitor,
    [('category', argMin(bought, first_ms))] AS said
FROM
(
    SELECT
        partner AS earner,
        visitor,
        min(at_ms) AS first_ms,
        arrayStringConcat(arraySort(groupUniqArray(category)), '\t') AS bought
    FROM
    (
        SELECT partner, visitor, at_ms, arrayJoin(splitByChar(',', categories)) AS category
        FROM affinities
        WHERE client = {client:String}
            AND at >= toDateTime({from_s:UInt32}, 'UTC')
            AND at < toDateTime({until_s:UInt32}, 'UTC')
            AND click_id NOT IN (SELECT click_id FROM forgotten WHERE client = {client:String})
    )
    GROUP BY partner, visitor
)
GROUP BY visitor
