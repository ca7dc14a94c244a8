-- A client's visitors of a day, each once: through which partner the first visit was, and what was said of it.
SELECT
    argMin(partner, at_ms) AS party,
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
GROUP BY visitor
