"""Generated house numbers: single digits and photos of full numbers, in SVHN's layout."""
