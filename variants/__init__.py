"""Attention mechanisms, and the kernels that compute them.

One variant is one file. The file's name is also the YAML key, the legend and the test id. Variants and patterns import
only NumPy; the modules of `attnbench.variants.kernels` import torch.
"""

from attnbench.variants._decoding import Decoding as Decoding
from attnbench.variants._flaw import flaw as flaw
from attnbench.variants._module import of_module as of_module
from attnbench.variants._padding import NO_PADDING as NO_PADDING
from attnbench.variants._padding import Padding as Padding
from attnbench.variants._parameters import Parameters as Parameters
from attnbench.variants._parameters import parameter as parameter
from attnbench.variants._pattern import BoolArray as BoolArray
from attnbench.variants._pattern import IntArray as IntArray
from attnbench.variants._pattern import Pattern as Pattern
from attnbench.variants._pattern import Spans as Spans
from attnbench.variants._pattern import TooManySpans as TooManySpans
from attnbench.variants._pattern import forget as forget
from attnbench.variants._scored import Scored as Scored
from attnbench.variants._setting import ATTENTION as ATTENTION
from attnbench.variants._setting import AXES as AXES
from attnbench.variants._setting import DECODE as DECODE
from attnbench.variants._setting import DEFAULTS as DEFAULTS
from attnbench.variants._setting import DEVICES as DEVICES
from attnbench.variants._setting import DIRECTIONS as DIRECTIONS
from attnbench.variants._setting import DTYPES as DTYPES
from attnbench.variants._setting import FLOPS_PER_PAIR as FLOPS_PER_PAIR
from attnbench.variants._setting import MOST_THREADS as MOST_THREADS
from attnbench.variants._setting import ONE_CLASS as ONE_CLASS
from attnbench.variants._setting import WRITTEN as WRITTEN
from attnbench.variants._setting import Device as Device
from attnbench.variants._setting import Direction as Direction
from attnbench.variants._setting import Dtype as Dtype
from attnbench.variants._setting import Layout as Layout
from attnbench.variants._setting import Named as Named
from attnbench.variants._setting import Setting as Setting
from attnbench.variants._setting import Shape as Shape
from attnbench.variants._setting import Threads as Threads
from attnbench.variants._setting import Work as Work
from attnbench.variants._setting import of_products as of_products
from attnbench.variants._variant import FLOOR as FLOOR
from attnbench.variants._variant import OWN as OWN
from attnbench.variants._variant import Family as Family
from attnbench.variants._variant import Variant as Variant
from attnbench.variants._variant import VariantError as VariantError
from attnbench.variants._variant import Weights as Weights
from attnbench.variants._variant import cost as cost
from attnbench.variants._variant import describe as describe
from attnbench.variants._variant import extend as extend
from attnbench.variants._variant import file as file
from attnbench.variants._variant import formula as formula
from attnbench.variants._variant import implementations as implementations
from attnbench.variants._variant import load as load
from attnbench.variants._variant import names as names
