"""prepare: before all else, nothing of a user's is where stages write, and their code is written down."""

from pipeline.data import sources
from pipeline.experiment import places, stage_modules


def run(source: str) -> None:
    """Write modules/.

    Raises:
        PipelineError: the source is where stages write to, or a file there is none of theirs. Nothing was
            changed.
    """
    if sources.is_local(source):
        places.check_source(sources.path_of(source))
    places.check_folders()
    stage_modules.write()
