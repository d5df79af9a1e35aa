"""Studies: many trainings, compared; and searches."""
