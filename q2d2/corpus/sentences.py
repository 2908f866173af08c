"""Things to say: English sentences put together from three parts, eight thousand of them.

They are made up, so they belong to nobody. Between them they use every sound of English in many neighbourhoods.
"""

import numpy as np

_BEGINNINGS = """
Before the rain came,
On the way to the harbour,
Although nobody had asked,
Late in the afternoon,
Without a word of thanks,
For the third time this week,
Just behind the old theatre,
As far as I know,
If the weather holds,
Even in the middle of winter,
Between you and me,
When the kettle began to whistle,
To everyone's surprise,
Under the bridge at Oxford,
Once the children were asleep,
Against all advice,
In the garden of the museum,
Five minutes too early,
Where the path turns left,
Yes, and besides,
""".strip().splitlines()

_MIDDLES = """
the judge bought eight yellow onions
my younger brother measured the whole corridor
she threw both shoes away
a dozen geese were crossing the ice
we found the usual treasure: buttons and string
the pilot chose a quieter road
his cousin played the violin beautifully
they argued about the price of azure paint
the fox vanished with a loaf of bread
Joyce wrote a very long letter to the bank
the engine coughed, stopped, and started again
you could hear the owls
our neighbour polished his boat with wax
the child drew a giraffe on the garage door
George washed the cherries in cold water
it was the thickest fog anyone remembered
the nurse gave him hot soup
that clock always loses an hour
the zoo sold its last elephant
I would rather have walked
""".strip().splitlines()

_ENDS = """
and laughed about it.
as if it were the most natural thing in the world.
but kept the receipt.
which pleased no one.
because the shop was about to close.
with the utmost pleasure.
until the music stopped.
or so the story goes.
and that, I think, was the end of it.
to judge from the noise.
in spite of the ugly weather.
for the sake of peace.
while the others were watching television.
and then the bell rang twice.
though it hardly mattered.
didn't we?
just south of the village church.
at half past five on Thursday.
and who would blame them?
so we bought three more.
""".strip().splitlines()


def sentence(rng: np.random.Generator) -> str:
    """One of them; now and then a short one."""
    beginning, middle, end = (str(rng.choice(parts)) for parts in (_BEGINNINGS, _MIDDLES, _ENDS))
    if rng.random() < 0.2:
        return f"{middle[0].upper()}{middle[1:]}."
    return f"{beginning} {middle} {end}"
