"""Sources of images, and the official .mat layout that all of them arrive in."""
