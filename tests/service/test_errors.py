"""The tree of errors, its drawing, and the table of statuses."""

from service import errors
from service.api.status import STATUS


def leaves(error: type[errors.ForetellError]) -> set[type[errors.ForetellError]]:
    own = [sub for sub in error.__subclasses__() if sub.__module__ == errors.__name__]
    return set().union(*(leaves(sub) for sub in own)) if own else {error}


# These have kinds of their own below them and are raised as they are, too.
RAISED_THEMSELVES = {errors.InvalidPayload, errors.RemoteError}


def test_every_error_has_a_status() -> None:
    """The table covers exactly the errors that are raised: none is forgotten, none is left over."""
    assert set(STATUS) == leaves(errors.ForetellError) | RAISED_THEMSELVES


def test_the_drawing_shows_the_whole_tree() -> None:
    """The module's docstring is the map; it is kept true."""
    assert errors.__doc__ is not None
    drawn = [line.strip("│├└─ ").split()[0] for line in errors.__doc__.splitlines() if line.strip()]

    def walk(error: type[errors.ForetellError]) -> list[str]:
        own = [sub for sub in error.__subclasses__() if sub.__module__ == errors.__name__]
        return [error.__name__, *(name for sub in own for name in walk(sub))]

    assert drawn[-len(walk(errors.ForetellError)) :] == walk(errors.ForetellError)
