"""The report: one page that says what was generated and how far it can be trusted."""
