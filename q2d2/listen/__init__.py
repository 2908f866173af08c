"""The listening test and the demo page: what people hear of a codec, and what they say of it.

`protocols` (what is asked) and `study` (what is heard) know nothing of servers and databases; `planning` decides who
hears what in which order; `creating` makes studies out of folders of audio; `store` keeps ratings; `rating` and `demo`
are the two web applications; `report` reads ratings back. Needs the extra `listen`.
"""
