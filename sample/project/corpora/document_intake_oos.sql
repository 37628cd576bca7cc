-- Papers that came the same way and are none of the seven kinds: quotations, newsletters, fax
-- covers, statements of account, timesheets, blank scans.
SELECT
    document_id AS id,
    body        AS text,
    partner_id  AS "group",
    received_at AS "time",
    channel     AS channel
FROM erp.inbound_documents
WHERE disposition = 'unfiled'
ORDER BY document_id
