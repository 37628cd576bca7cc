"""From a folder of procedures to passages: the short pieces that a site searches, shows and cites.

    >>> source = DocumentSource(name="sops", kind="documents", path="sops")
    >>> library = take_in(source, project=project, cache=project / ".lading" / "documents")
    >>> library.passages[0].heading
    'Receiving of inbound deliveries > Checking the load against the order'

A project describes the folder in `sources/sops.yaml`:

    kind: documents
    path: sops
    register: register.csv
    data_class: internal

Markdown, text, HTML, DOCX and PDF are read by `readers`, each file in a process of its own (`reading`, `worker`), into
the same `blocks`: headings, paragraphs, steps with their own numbers, bullets, tables. `facts` says what holds of a
document: the register, or else the file, or else the source. `split` makes one passage of each section; a procedure is
never cut within a step. `revisions` decides which of several files of one document hold. What could not be taken in is
a problem with its file and a line that says what to do; it stops nothing else.

    >>> compare(before, library).lists()["changed"]
    ('WH-001',)
"""

from pipelines.documents.files import files_of
from pipelines.documents.intake import take_in
from pipelines.documents.library import Changes, DocumentCard, Library, Problem, Superseded, compare
from pipelines.documents.spec import DocumentSource

__all__ = [
    "Changes",
    "DocumentCard",
    "DocumentSource",
    "Library",
    "Problem",
    "Superseded",
    "compare",
    "files_of",
    "take_in",
]
