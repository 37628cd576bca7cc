"""Reports for people: words, tables, plots, pages. Nothing here measures or judges, so edits repeat no evidence."""
