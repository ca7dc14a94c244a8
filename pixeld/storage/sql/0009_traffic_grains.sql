-- Clicks and impressions without the audience, in four grains: 'client day', 'client hour', 'partner day', 'partner hour' (UTC;
-- a client's rows have no partner). Every event is in all four: whoever reads this table names ONE grain.
-- Joining visitor states is what a report spends its time on, and a visitor who came through two partners, or in two hours, is
-- one of its client's on that day: neither can be had by adding up. So each question has states of its own, as few as it needs:
-- an operator's 30 days of 200 clients are 6,000 instead of several millions of partners' hours. One table, because each table
-- costs every flush a part and its fsyncs.
-- uniqCombined(12) is exact for some hundred visitors; beyond that its standard error is 1.6 % and a state has at most 3 KB. uniq
-- (0.4 %) has up to 256 KB: to join 30 days of 75 million clicks by 200 clients takes 24 ms with the one, 50 with (13), 800 with
-- uniq. Quality stands before client, so that the states of bots, which few ask for, are not read on the way.
{{roll_up}}
CREATE TABLE IF NOT EXISTS {{create traffic_grains}}
(
    grain {{text}},
    start DateTime('UTC'),
    client {{text}},
    partner {{text}},
    quality {{text}},
    clicks UInt64,
    impressions UInt64,
    visitors AggregateFunction(uniqCombined(12), UInt64)
)
ENGINE = {{engine SummingMergeTree}}
PARTITION BY toYYYYMM(start)
ORDER BY (grain, quality, client, start, partner)
{{keep start}}
{{durable}}
{{spread cityHash64(client, partner)}}
