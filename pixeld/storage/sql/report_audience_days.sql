-- How many of the days have been released, whoever was there.
SELECT uniqExact(day) AS days
FROM audience_releases
WHERE dimension = '' AND day >= {first:UInt32} AND day <= {last:UInt32}
