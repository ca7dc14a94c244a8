-- Clicks, impressions and visitors by what only traffic_hourly knows: country, device, browser, OS and language.
SELECT
    {{select}}
    transform(client, splitByChar(',', {clients:String}), splitByChar(',', {currencies:String}), '') AS currency,
    sum(impressions) AS impression_count,
    sum(clicks) AS click_count,
    uniqCombinedMerge(12)(visitors) AS visitor_count
FROM
(
    SELECT hour AS at, *
    FROM traffic_hourly
    WHERE hour >= toDateTime({from_s:UInt32}, 'UTC')
        AND hour < toDateTime({until_s:UInt32}, 'UTC')
        AND {{scope}}
        AND ({client:String} = '' OR client = {client:String})
        AND ({partner:String} = '' OR partner = {partner:String})
        AND ({quality:String} = '' OR quality = {quality:String})
)
GROUP BY {{group}} currency
LIMIT {limit:UInt32}
