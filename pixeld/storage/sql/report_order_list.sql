-- One page of orders, newest first, from (and without) the position {after_*}. The page is chosen with the few columns that
-- choose it; only its orders are then read whole. Their scope is checked again, because an order may change hands in between.
SELECT
    client, order_id, toString(order_key) AS order_key, partner, method, click_id, clicked_at, at_ms, amount_minor, currency,
    commission_minor, locks_at, coupon, customer, conflict
FROM orders
WHERE (client, order_id) IN
(
    SELECT client, order_id
    FROM {{chosen}}
    WHERE {{status}}({after_ms:UInt64} = 0 OR (at_ms, client, order_id) < ({after_ms:UInt64}, {after_client:String}, {after_order:String}))
    ORDER BY at_ms DESC, client DESC, order_id DESC
    LIMIT {limit:UInt32}
)
    AND {{scope}}
ORDER BY at_ms DESC, client DESC, order_id DESC
