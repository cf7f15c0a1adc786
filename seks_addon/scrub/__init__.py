"""Removing credentials from what comes back: in a stream, in every form in which a host may repeat one.

Whole credentials are replaced, never fragments of one: masking fragments tells a guesser how far it is right.
"""

from seks_addon.scrub.forms import Known
from seks_addon.scrub.stream import Scrubber

__all__ = ["Known", "Scrubber"]
