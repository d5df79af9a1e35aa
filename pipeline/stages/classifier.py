"""classifier: a classifier of the training images, for a conditional model's samples to be read by."""

import torch

from pipeline.common import allocator, files, machine_limits, paths
from pipeline.common.progress import bar
from pipeline.data import images
from pipeline.experiment import places
from vae import classifier
from vae.config import Sizes

NOTE = "No classifier: the model is not conditional, so nobody asks it for a digit.\n"


def run(conditional: bool, validation: float, seed: int) -> None:
    """Read data/channels, write classifier/; in it is only a note where no model is conditional.

    It is trained on the CPU, in a minute or two however large the set is, so all machines judge alike.

    Raises:
        PipelineError: the images have no labels, or a channel file does not serve.
    """
    places.check_folders([paths.CLASSIFIER_FOLDER])
    with files.atomic_directory(paths.CLASSIFIER_FOLDER) as folder:
        if not conditional:
            files.write_text(folder / paths.NO_CLASSIFIER.name, NOTE)
            return
        machine_limits.share_threads()
        allocator.keep_freed()
        training, _ = images.load_training(paths.COLOURS, validation)
        known = images.known_classes(training)
        images.check_test_labels(known)
        sizes = Sizes((len(paths.COLOURS), *training.side), known.names)
        pictures = torch.from_numpy(training.pictures())
        labels = torch.from_numpy(known.places(training, "training"))
        model = classifier.initial(sizes, seed)
        with bar("classifier", classifier.STEPS, "steps") as advance:
            for _ in classifier.fit(model, pictures, labels, seed):
                advance(1)
        classifier.save(folder / paths.CLASSIFIER.name, model)
