# attnbench for NVIDIA GPUs: `docker build -f docker/cuda.Dockerfile -t attnbench:cuda .` in the root of the repository,
# then `docker run --gpus all attnbench:cuda run gpu`. The project's checks do not build this image.
#
# torch's wheels for Linux on x86-64 bring the libraries of CUDA. The driver comes from the host, through the NVIDIA
# Container Toolkit, so the image needs no other base than that for CPUs.
FROM python:3.12.11-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

# g++ compiles the kernels of `native` at first use, and torch.compile needs it; `bench ab` needs git. Debian removes old
# versions of packages, so a pinned one would soon be missing.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ git \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY . .
RUN pip install -c constraints.txt '.[gpu,html]'

# Runs are written to /work, by a user that is not root.
RUN useradd --create-home --uid 1000 bench && mkdir /work && chown bench /work
USER 1000
WORKDIR /work

ENTRYPOINT ["bench"]
CMD ["--help"]
