"""The proof, which compares every element of a result of the timed call with the oracle.

`small` checks odd small lengths, and `whole` the case's own length. `expected` returns what a call must give there:
`stream` computes it, `textbook` and `tolerance` give the allowed error. `verdict` compares. `choice` checks what is
chosen by content. `contents` holds the inputs, and `recall` finds kernels that remember earlier calls.
"""
