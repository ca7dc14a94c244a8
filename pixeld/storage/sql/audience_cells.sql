-- Different visitors of one client and day by partner, what was said of them, and salt. Each visitor is in one row of each family.
SELECT
    party,
    trait.1 AS family,
    trait.2 AS value,
    bitShiftRight(visitor, {hash_bits:UInt8}) AS salt,
    count() AS visitors
FROM
(
    {{source}}
)
ARRAY JOIN said AS trait
GROUP BY party, family, value, salt
