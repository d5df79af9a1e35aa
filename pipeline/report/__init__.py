"""The report: one self-contained page. `page` says what is on it, `figures` draws, the template lays out."""
