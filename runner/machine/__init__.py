"""The measuring machine: environment, memory, GPU, system errors, and checks for what makes timings worse."""
