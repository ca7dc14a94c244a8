-- How many requests were refused, by day, client, partner, kind and verdict. An hour belongs to the day in which it begins, in zones
-- that are half an hour off UTC, too. Orders are counted once, by their first refused observation; they have no partner.
SELECT
    toUInt16(toDate(seen, {tz:String})) AS d0,
    client_id, partner_id, what, verdict,
    sum(n) AS requests
FROM
(
    SELECT hour AS seen, toString(client) AS client_id, toString(partner) AS partner_id, toString(refusals.what) AS what,
        toString(consent) AS verdict, events AS n
    FROM refusals
    WHERE hour >= toDateTime({from_s:UInt32}, 'UTC')
        AND hour < toDateTime({until_s:UInt32}, 'UTC')
        AND {{scope}}
        AND ({client:String} = '' OR client = {client:String})
        AND ({partner:String} = '' OR partner = {partner:String})
    UNION ALL
    SELECT min(at) AS seen, client AS client_id, '' AS partner_id, 'order' AS what, argMin(consent, at) AS verdict, toUInt64(1) AS n
    FROM order_events
    WHERE at >= toDateTime({from_s:UInt32}, 'UTC')
        AND at < toDateTime({until_s:UInt32}, 'UTC')
        AND consent LIKE 'refused %'
        AND {{scope}}
        AND ({client:String} = '' OR client = {client:String})
        AND ({partner:String} = '' OR partner = {partner:String})
    GROUP BY client, order_id
)
GROUP BY d0, client_id, partner_id, what, verdict
ORDER BY d0, client_id, partner_id, what, verdict
LIMIT {limit:UInt32}
