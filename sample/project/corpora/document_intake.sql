-- Papers that the mail room has filed, with the kind under which each was filed.
SELECT
    document_id   AS id,
    body          AS text,
    document_type AS label,
    partner_id    AS "group",
    received_at   AS "time",
    channel       AS channel
FROM erp.inbound_documents
WHERE disposition = 'filed'
  AND document_type IS NOT NULL
ORDER BY document_id
