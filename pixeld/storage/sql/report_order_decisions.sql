-- What was decided last about the orders of a page, whose keys the list gave: some of another order with the same key, too.
SELECT
    client,
    order_id,
    argMax(decided, precedence) AS decision,
    argMax(decided_ms, precedence) AS decision_ms,
    argMax(decider, precedence) AS decision_by,
    argMax(why, precedence) AS decision_reason
FROM
(
    SELECT client, order_id, status AS decided, at_ms AS decided_ms, who AS decider, reason AS why,
        at_ms * 1048576 + cityHash64(event_id) % 1048576 AS precedence
    FROM order_decisions
    WHERE ({scope:String} != 'client' OR client = {scope_id:String})
        AND ({client:String} = '' OR client = {client:String})
        AND order_key IN (SELECT toUInt64(arrayJoin(splitByChar(',', {keys:String}))))
)
GROUP BY client, order_id
