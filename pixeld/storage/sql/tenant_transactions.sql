-- The orders of a tenant, each as it stands; nothing of who ordered.
SELECT
    order_id, client, partner, method, click_id, clicked_at, ordered_at, amount_minor, currency, coupon, customer, conflict
FROM {{database}}.orders
WHERE {{mine}}
