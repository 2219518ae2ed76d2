# Training. Built from the top of the repository:
#   docker build -f docker/training.Dockerfile -t foretell-training .
# With --build-arg BASE=python:3.11-slim-bookworm@sha256:… the base image is the one of that digest.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
# The base image's own pip fills the environment from outside, so none has to be inside.
RUN python -m venv --without-pip /opt/foretell
# training-gpu.txt adds the CUDA 12 libraries that TensorFlow needs.
ARG REQUIREMENTS=requirements/training.txt
COPY ${REQUIREMENTS} requirements.txt
# Wheels only: the base image has no compiler.
RUN pip --python /opt/foretell install --no-cache-dir --only-binary :all: \
    --require-hashes --requirement requirements.txt
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY service service
COPY training training
RUN pip --python /opt/foretell install --no-cache-dir --no-deps --no-build-isolation .
# Volumes mounted on these take over their owner.
RUN install -d -o 10001 -g 10001 /volumes/cache /volumes/reports

FROM ${BASE}
COPY --from=build /opt/foretell /opt/foretell
COPY --from=build --chown=10001:10001 /volumes/cache /cache
COPY --from=build --chown=10001:10001 /volumes/reports /reports
# As in the service's image: the first of the two that mounts the empty volume fills it.
COPY --chown=10001:10001 models /models
# Downloads are kept in /cache/foretell; Keras needs a home that it can write to.
ENV PATH=/opt/foretell/bin:$PATH \
    XDG_CACHE_HOME=/cache \
    HOME=/tmp
USER 10001:10001
ENTRYPOINT ["foretell", "train", "--output", "/models", "--reports", "/reports"]
CMD ["--all"]
