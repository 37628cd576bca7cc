"""A sample distributor: an ERP that is made up but messy, and a project that builds from it.

    import sample
    sample.scaffold(Path("demo"))              # the whole project: ERP, procedures, questions
    sample.generate(Path("erp.sqlite"))        # only the ERP: 24 months of a mid-size distributor
    sample.extend(Path("erp.sqlite"), days=7)  # a week later, for incremental loads

Everything follows from a seed. People, companies, phone numbers and mail domains are fictitious.
"""

from __future__ import annotations

from sample.erp import Size, Summary, extend, generate
from sample.scaffolding import scaffold

__all__ = ["Size", "Summary", "extend", "generate", "scaffold"]
