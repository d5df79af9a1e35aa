"""SVHN's own files: official archives fetched and checked, .mat files read, full numbers cropped."""
