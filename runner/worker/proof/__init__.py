"""The proof: every element of the call that is timed is compared with the oracle, and the call may do nothing else.

`small` looks at odd lengths, `whole` at the case's own. There `expected` says what a call must give: `stream` computes
it, `textbook` and `tolerance` say how exact a call must be. `verdict` compares. `contents` are the inputs, `recall`
finds kernels that remember earlier calls, `process` what they change in the process, and `digest` joins processes.
"""
