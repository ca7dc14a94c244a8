-- Orders and revenue. The time condition comes after the grouping of the view: an order counts when its standing observation
-- was made, and which one that is depends on all of them.
SELECT
    {{select}}
    currency,
    count() AS order_count,
    sum(amount_minor) AS revenue_minor
FROM
(
    SELECT ordered_at AS at, *
    FROM orders
    WHERE ordered_at >= toDateTime({from_s:UInt32}, 'UTC')
        AND ordered_at < toDateTime({until_s:UInt32}, 'UTC')
        AND ({scope:String} = 'operator'
            OR ({scope:String} = 'client' AND client = {scope_id:String})
            OR ({scope:String} = 'partner' AND partner = {scope_id:String}))
        AND ({client:String} = '' OR client = {client:String})
        AND ({partner:String} = '' OR partner = {partner:String})
)
GROUP BY {{group}} currency
LIMIT {limit:UInt32}
