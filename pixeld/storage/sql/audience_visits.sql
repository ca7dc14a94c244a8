SELECT
    if({pooled:UInt8} = 1, '', partner) AS party,
    visitor,
    [
        ('country', argMin(country, at_ms)),
        ('language', argMin(language, at_ms)),
        ('technology', argMin(concat(device, '\t', browser, '\t', os), at_ms)),
        ('hour', argMin(toString(toHour(at)), at_ms)),
        ('visit', argMin(visit, at_ms))
    ] AS said
FROM clicks
WHERE client = {client:String}
    AND at >= toDateTime({from_s:UInt32}, 'UTC')
    AND at < toDateTime({until_s:UInt32}, 'UTC')
    AND quality = 'human'
    AND NOT ({pooled:UInt8} = 1 AND has(splitByChar(',', {own:String}), partner))
GROUP BY party, visitor
