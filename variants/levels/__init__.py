"""Levels: what stands around a mechanism when it is measured. Each is a module that names its class `LEVEL`.

At level `attention` nothing does: queries, keys and values are given. At level `layer` there are projections around it.
At level `encoder` there are several such layers, at `encoder_decoder` on two sides, and models are trained at levels
`task` and `sequence_task`. Importing this package does not import torch.
"""

from attnbench.variants.levels._around import Around as Around
from attnbench.variants.levels._around import Held as Held
from attnbench.variants.levels._around import around as around
from attnbench.variants.levels._around import crosses as crosses
from attnbench.variants.levels._around import has_bias as has_bias
from attnbench.variants.levels._around import keys as keys
from attnbench.variants.levels._around import learned as learned
from attnbench.variants.levels._level import Attend as Attend
from attnbench.variants.levels._level import Level as Level
from attnbench.variants.levels._level import Predict as Predict
from attnbench.variants.levels._level import Update as Update
from attnbench.variants.levels._reading import brief as brief
from attnbench.variants.levels._reading import describe as describe
from attnbench.variants.levels._reading import load as load
from attnbench.variants.levels._reading import names as names
from attnbench.variants.levels._reading import read as read
from attnbench.variants.levels._reading import written as written

BIAS_REFUSED = "positions: relative adds a learned bias to scores, which only eager and sdpa_masked do, for patterns"
"""Why a case does not exist at a level that adds a bias to scores."""
CROSS_REFUSED = "attention: cross takes keys of another sequence: use full in eager, sdpa or a forced kernel, or linear"
"""Why an implementation does not exist at a level that crosses."""
