"""Expected results of decoding: the last row of the oracle on all N tokens, and the state after them, in float64.

A pattern's state is the slots of the new key and value. That of another mechanism is computed by its own
`Decoding.state`, from all N tokens. A step reads the state of the first N - 1, so a wrong state gives a wrong output.
At level `layer` the layer's formula gives queries, keys and values of all N tokens.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from attnbench import variants
from attnbench.runner.worker.call import mechanisms
from attnbench.runner.worker.call.inputs import Inputs, earlier
from attnbench.runner.worker.call.weights import held
from attnbench.runner.worker.proof import expected, oracle, tolerance
from attnbench.runner.worker.proof.expected import Expected
from attnbench.runner.worker.proof.stream import Step
from attnbench.suites import Case
from attnbench.variants import Spans, Weights
from attnbench.variants.levels import Held


def _nothing() -> None:
    """Do nothing after a step."""


def of_content(case: Case, spans: Spans | None, given: Inputs, content: int, step: Step = _nothing) -> Expected:
    """Return the output and the state after a call of the case on the inputs `given`, which have the number `content`.

    The error of the same computation in the case's dtype gives the tolerance.

    Raises:
        Useless: the mechanism's reference is too inexact.
    """
    tokens = [torch.cat(pair, dim=-2) for pair in zip(earlier(case.setting, content), given.tensors, strict=True)]
    weights = held(case, content)
    plain = _results(case, spans, tokens, weights)
    step()
    exact = _results(case, spans, [each.double() for each in tokens], weights.wide())
    step()
    dtype = given[0].dtype
    errors = [float((near.double() - want).abs().max()) for near, want in zip(plain, exact, strict=True)]
    scales = [float(want.abs().max()) for want in exact]
    # Each tensor has its own scale.
    floors = [tolerance.floors([scale], dtype)[0] for scale in scales]
    expected.refuse_useless(given, errors, scales, floors)
    allowed = tuple(2 * error + floor for error, floor in zip(errors, floors, strict=True))
    return Expected(exact, allowed, expected.known(exact))


def _results(case: Case, spans: Spans | None, tokens: Sequence[Tensor], weights: Held) -> tuple[Tensor, ...]:
    """Return the output of the last token and the state after it, in the dtype of the tokens or a wider one."""
    level, state, (own,) = mechanisms.around(case), list[Tensor](), weights.own

    def attend(*inputs: Tensor) -> Tensor:
        """Return the output of the last token alone, from the mechanism's inputs of all tokens."""
        out, *kept = _mechanism(case, spans, inputs, own)
        state.extend(kept)
        return out

    out = level.call(case.setting, [attend], weights, *tokens) if level else attend(*tokens)
    return out, *state


def _mechanism(case: Case, spans: Spans | None, tokens: Sequence[Tensor], weights: Weights) -> tuple[Tensor, ...]:
    """Return the same of a mechanism alone, from its inputs of all tokens."""
    reference, last = mechanisms.reference(case), tokens[0].shape[-2] - 1
    if reference is None:
        assert spans  # a mechanism that is not a pattern has a reference
        q, k, v = tokens
        mask = torch.from_numpy(spans.last().allowed(0, torch.arange(last + 1).numpy())[None]).to(q.device)
        return oracle.attention(q[:, :, last:], k, v, mask), k[:, :, last:], v[:, :, last:]
    decoding = variants.load(case.mechanism.name).decoding
    assert decoding  # admission refuses others
    with torch.no_grad():
        out = reference(*tokens, torch.tensor([last], device=tokens[0].device), *weights)
        return out, *decoding.state(case.parameters, *tokens, weights)
