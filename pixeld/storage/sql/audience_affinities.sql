SELECT
    party,
    visitor,
    [('category', arrayStringConcat(arraySort(groupUniqArray(category)), '\t'))] AS said
FROM
(
    SELECT
        if({pooled:UInt8} = 1, '', partner) AS party,
        visitor,
        arrayJoin(splitByChar(',', categories)) AS category
    FROM affinities
    WHERE client = {client:String}
        AND at >= toDateTime({from_s:UInt32}, 'UTC')
        AND at < toDateTime({until_s:UInt32}, 'UTC')
        AND NOT ({pooled:UInt8} = 1 AND has(splitByChar(',', {own:String}), partner))
        AND click_id NOT IN (SELECT click_id FROM forgotten WHERE client = {client:String})
)
GROUP BY party, visitor
