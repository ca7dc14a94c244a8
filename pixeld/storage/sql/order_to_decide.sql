-- One order of one client, and what was decided about it last.
SELECT at_ms, locks_at, decision
FROM
(
    SELECT client, order_id, at_ms, locks_at
    FROM orders
    WHERE client = {client:String} AND order_id = {order:String}
) AS standing
ANY LEFT JOIN
(
    SELECT client, order_id, argMax(decided, precedence) AS decision
    FROM
    (
        SELECT client, order_id, status AS decided, at_ms * 1048576 + cityHash64(event_id) % 1048576 AS precedence
        FROM order_decisions
        WHERE client = {client:String} AND order_id = {order:String}
    )
    GROUP BY client, order_id
) AS reviewed USING (client, order_id)
