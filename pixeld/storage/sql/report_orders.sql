-- Orders and revenue.
SELECT
    {{select}}
    currency,
    count() AS order_count,
    sum(amount_minor) AS revenue_minor
FROM
(
    SELECT ordered_at AS at, *
    FROM {{orders}}
)
GROUP BY {{group}} currency
LIMIT {limit:UInt32}
