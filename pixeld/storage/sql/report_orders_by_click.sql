-- Orders, revenue and commission by what only the click knows: sub-ids and creative. An order without a click id keeps empty ones.
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
    SELECT ordered_at AS at, client, partner, quality, click_id, country, device, browser, os, language, currency,
        amount_minor, commission_minor, status
    FROM {{decided}}
) AS credited
ANY LEFT JOIN
(
    SELECT client, click_id, s1, s2, s3, s4, s5, creative
    FROM clicks
    WHERE click_id != ''
        AND at < toDateTime({until_s:UInt32}, 'UTC')
        AND at >= toDateTime({clicked_from_s:UInt32}, 'UTC')
        AND {{scope}}
        AND ({client:String} = '' OR client = {client:String})
        AND ({partner:String} = '' OR partner = {partner:String})
        AND click_id IN
        (
            SELECT click_id
            FROM {{orders}}
        )
) AS earning USING (client, click_id)
GROUP BY {{group}} currency
LIMIT {limit:UInt32}
