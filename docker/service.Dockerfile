# The service. Built from the top of the repository:
#   docker build -f docker/service.Dockerfile -t foretell-service .
# With --build-arg BASE=python:3.11-slim-bookworm@sha256:… the base image is the one of that digest.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
# The base image's own pip fills the environment from outside, so none has to be inside.
RUN python -m venv --without-pip /opt/foretell
# service-cpu.txt: the small CPU wheel of ONNX Runtime; service-cuda.txt: the large one, with CUDA.
ARG REQUIREMENTS=requirements/service-cpu.txt
COPY ${REQUIREMENTS} requirements.txt
# Wheels only: the base image has no compiler.
RUN pip --python /opt/foretell install --no-cache-dir --only-binary :all: \
    --require-hashes --requirement requirements.txt
# A third of PyArrow is clients of other services, and tests; NumPy has 18 MB of tests.
RUN cd /opt/foretell/lib/python3.11/site-packages/pyarrow && \
    rm -rf include tests *flight* _s3fs* libarrow_s3* _pyarrow_cpp_tests* && \
    find ../numpy -name tests -type d -prune -exec rm -rf {} +
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY service service
COPY training training
# Build-time packages are removed.
RUN pip --python /opt/foretell install --no-cache-dir --no-deps --no-build-isolation . && \
    pip --python /opt/foretell uninstall --yes grpcio-tools setuptools hatchling editables

FROM ${BASE}
COPY --from=build /opt/foretell /opt/foretell
# An empty volume mounted here takes over these files, and their owner: the one that training has.
COPY --chown=10001:10001 models /models
ENV PATH=/opt/foretell/bin:$PATH \
    FORETELL_HOST=0.0.0.0 \
    FORETELL_PORT=8000 \
    FORETELL_MODELS_DIR=/models \
    FORETELL_LOG_FORMAT=json \
    FORETELL_DRAIN_SECONDS=3 \
    FORETELL_SPOOL_DIR=/var/tmp
USER 10001:10001
EXPOSE 8000
# http.client, because urllib would use the environment's proxy.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 CMD ["python", "-c", "\
import http.client, os; \
service = http.client.HTTPConnection('127.0.0.1', int(os.environ['FORETELL_PORT']), timeout=2); \
service.request('GET', '/readyz'); \
raise SystemExit(service.getresponse().status != 200)"]
CMD ["foretell", "serve"]
