-- Orders, revenue and commission.
SELECT
    {{select}}
    currency,
    count() AS order_count,
    sum(amount_minor) AS revenue_minor,
    countIf(status = 'pending') AS pending_count,
    countIf(status = 'approved') AS approved_count,
    countIf(status = 'rejected') AS rejected_count,
    sumIf(commission_minor, status = 'pending') AS pending_minor,
    sumIf(commission_minor, status = 'approved') AS approved_minor,
    sumIf(commission_minor, status = 'rejected') AS rejected_minor
FROM
(
    SELECT ordered_at AS at, *
    FROM {{decided}}
)
GROUP BY {{group}} currency
LIMIT {limit:UInt32}
