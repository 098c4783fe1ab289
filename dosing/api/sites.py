"""The closing of a site."""

from dosing.services.sites import close_site
from trials.api.sites import SiteSteps


class SiteClosures(SiteSteps):
    """A site ends, when nobody is on treatment there any more."""

    step = staticmethod(close_site)
