# attnbench for CPUs: `docker build -f docker/cpu.Dockerfile -t attnbench .` in the root of the repository.
# The project's checks do not build this image.
FROM python:3.12.11-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1

# g++ compiles the kernels of `native` at first use, and torch.compile needs it; `bench ab` needs git. Debian removes old
# versions of packages, so a pinned one would soon be missing.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ git \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY . .
# This index has torch without CUDA, which is a tenth of the size; the other packages come from PyPI.
RUN pip install -c constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu \
        "torch==$(sed -n 's/^torch==//p' constraints.txt)+cpu" '.[html]'

# Runs are written to /work, by a user that is not root.
RUN useradd --create-home --uid 1000 bench && mkdir /work && chown bench /work
USER 1000
WORKDIR /work

ENTRYPOINT ["bench"]
CMD ["--help"]
