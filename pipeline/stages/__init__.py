"""One module a stage: `run(...)` does the work on the paths of `layout`; only `cli` calls it."""
