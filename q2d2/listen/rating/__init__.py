"""The listeners' web application: a personal link leads through the pages of a study, and every rating is kept at once.

`links` signs and reads links, `progress` says where a listener is and what a letter means, `views` what a template
sees of it; `routes` answers requests, `refusals` says no, `app` puts them together. Where the listener is is known
here, never in the browser; a browser learns letters and sounds, and nothing else of the study.
"""

from q2d2.listen.rating.app import create_app
from q2d2.listen.rating.links import link

__all__ = ["create_app", "link"]
