"""The proof: every element of the call that is timed is compared with the oracle, and the call may do nothing else.

`small` looks at odd lengths, `whole` at the case's own. There `expected` says what a call must give: `stream` computes
it, `textbook` and `tolerance` say how exact a call must be. `verdict` compares. `choice` proves what is chosen by
content. `contents` are the inputs, and `recall` finds kernels that remember earlier calls.
"""
