"""judge: a classifier of the training images, for a conditional model's samples to be read by."""

import torch

from pipeline import files, images, layout, machine_limits, places
from pipeline.progress import bar
from vae import classifier
from vae.config import Sizes

NOTE = "No classifier: the model is not conditional, so nobody asks it for a digit.\n"


def run(conditional: bool, validation: float, seed: int) -> None:
    """Read data/channels, write judge/; in it is only a note where no model is conditional.

    It is trained on the CPU, in a minute or two however large the set is, so all machines judge alike.

    Raises:
        PipelineError: the images have no labels, or a channel file does not serve.
    """
    places.check_folders([layout.JUDGE])
    with files.atomic_directory(layout.JUDGE) as folder:
        if not conditional:
            files.write_text(folder / layout.NO_CLASSIFIER.name, NOTE)
            return
        machine_limits.share_threads()
        training, _ = images.training(layout.COLOURS, validation)
        sizes = Sizes((len(layout.COLOURS), *training.side), images.classes(training))
        pictures, labels = torch.from_numpy(training.pictures()), torch.from_numpy(training.told())
        model = classifier.initial(sizes, seed)
        with bar("judge", classifier.STEPS, "steps") as advance:
            for _ in classifier.fit(model, pictures, labels, seed):
                advance(1)
        classifier.save(folder / layout.CLASSIFIER.name, model)
