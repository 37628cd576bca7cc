-- Labelled notes for order-exception triage, from the lake.
--
-- A table is named after its source (`sources/erp.yaml` -> `erp`) and its name there. Expected
-- columns: id, text, label; then, where the split needs them, "group" and "time". Any further
-- column becomes a slice: the evidence reports the metric for each of its values.
-- Plain SQL, so that it also runs where the lake is a warehouse.
SELECT
    exception_id    AS id,
    note            AS text,
    exception_class AS label,
    customer_id     AS "group",
    reported_at     AS "time",
    channel         AS channel
FROM erp.order_exceptions
WHERE disposition = 'confirmed'
  AND exception_class IS NOT NULL
ORDER BY exception_id
