FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/jobcast
# Dependencies first: their layer is cached until a pin changes.
COPY constraints.txt .
RUN pip download --quiet --require-hashes --only-binary :all: -r constraints.txt -d /wheels
COPY . .
# Build both packages with the pinned setuptools; then install only what they need from the verified wheels.
RUN pip install --quiet --no-index --find-links /wheels setuptools wheel \
    && pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . ./sdk/python \
    && /opt/jobcast/bin/pip install --quiet --no-index --find-links /wheels jobcast-service

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home jobcast
COPY --from=build /opt/jobcast /opt/jobcast
WORKDIR /srv/jobcast
COPY hypercorn.toml .
COPY demo demo
ENV PATH=/opt/jobcast/bin:$PATH PYTHONUNBUFFERED=1
USER jobcast
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
# The exec form, so that SIGTERM reaches Hypercorn and the streams are drained.
CMD ["hypercorn", "--config", "hypercorn.toml", "--bind", "0.0.0.0:8000", "app:create_app()"]
