"""A user's own images: folders of pictures and .npz files, as RGB images of one size."""
