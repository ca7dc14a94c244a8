-- The orders of a tenant, each as it stands and with what has become of it; nothing of who ordered, nor of who decided. GLOBAL: a
-- cluster's decisions are asked for once.
SELECT
    order_id, client, partner, method, click_id, clicked_at, ordered_at, amount_minor, currency, commission_minor, locks_at,
    multiIf(decision != '', decision, locks_at != 0 AND locks_at <= toUnixTimestamp(now()), 'approved', 'pending') AS status,
    reason, coupon, customer, conflict
FROM
(
    SELECT *
    FROM {{database}}.orders
    WHERE {{mine}}
) AS standing
GLOBAL ANY LEFT JOIN
(
    SELECT client, order_id, argMax(status, precedence) AS decision, argMax(why, precedence) AS reason
    FROM
    (
        SELECT client, order_id, status, reason AS why, at_ms * 1048576 + cityHash64(event_id) % 1048576 AS precedence
        FROM {{database}}.order_decisions
    )
    GROUP BY client, order_id
) AS reviewed USING (client, order_id)
