-- Notes typed into the same field that are no exception: requests, thanks, tests, small talk.
-- They have no label. The model should not be sure about any of them.
SELECT
    exception_id AS id,
    note         AS text,
    customer_id  AS "group",
    reported_at  AS "time",
    channel      AS channel
FROM erp.order_exceptions
WHERE disposition = 'not_an_exception'
ORDER BY exception_id
