-- What is kept of the orders that some clicks earned, and which of these clicks are to be forgotten.
SELECT click_id, categories, toUInt8(0) AS forgotten
FROM affinities
WHERE client = {client:String} AND click_id IN (SELECT arrayJoin(splitByChar(',', {clicks:String})))
UNION ALL
SELECT click_id, '' AS categories, toUInt8(1) AS forgotten
FROM forgotten
WHERE client = {client:String} AND click_id IN (SELECT arrayJoin(splitByChar(',', {clicks:String})))
