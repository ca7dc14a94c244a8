-- The same from single clicks and impressions: for sub-ids and creatives, and where an hour does not begin with UTC's.
SELECT
    {{select}}
    transform(client, splitByChar(',', {clients:String}), splitByChar(',', {currencies:String}), '') AS currency,
    countIf(clicked = 0) AS impression_count,
    countIf(clicked = 1) AS click_count,
    uniqIf(visitor, clicked = 1) AS visitor_count
FROM
(
    SELECT at, client, partner, quality, visitor, s1, s2, s3, s4, s5, creative, country, device, browser, os, language,
        1 AS clicked
    FROM clicks
    WHERE at >= toDateTime({from_s:UInt32}, 'UTC')
        AND at < toDateTime({until_s:UInt32}, 'UTC')
        AND {{scope}}
        AND ({client:String} = '' OR client = {client:String})
        AND ({partner:String} = '' OR partner = {partner:String})
        AND ({quality:String} = '' OR quality = {quality:String})
    UNION ALL
    SELECT at, client, partner, quality, visitor, s1, s2, s3, s4, s5, creative, country, device, browser, os, language,
        0 AS clicked
    FROM impressions
    WHERE at >= toDateTime({from_s:UInt32}, 'UTC')
        AND at < toDateTime({until_s:UInt32}, 'UTC')
        AND {{scope}}
        AND ({client:String} = '' OR client = {client:String})
        AND ({partner:String} = '' OR partner = {partner:String})
        AND ({quality:String} = '' OR quality = {quality:String})
)
GROUP BY {{group}} currency
LIMIT {limit:UInt32}
