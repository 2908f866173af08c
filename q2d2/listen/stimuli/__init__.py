"""From audio files to the sounds of a study: matched, lined up, of equal loudness, and under names that say nothing.

`matching` finds what belongs together; `trials` says which conditions meet; `lining_up`, `anchors` and `levels` work on
arrays; `preparing` makes the sounds of one item out of them; `building` writes the folder.
"""
