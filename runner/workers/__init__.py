"""The parent's side of worker processes: start one, send a request, read the reply, stop it."""
