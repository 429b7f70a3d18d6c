# The image of the reference application, as an example for your own. The locked requirements, with
# their hashes, are installed into an environment that is copied as a whole. Nothing is compiled, and
# nothing runs as root.

FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ONLY_BINARY=:all: PIP_REQUIRE_HASHES=1
WORKDIR /src
RUN python -m venv /opt/venv
COPY requirements/build.txt requirements/image.txt requirements/
RUN python -m pip install --requirement requirements/build.txt \
 && /opt/venv/bin/python -m pip install --requirement requirements/image.txt
COPY pyproject.toml README.md LICENSE ./
COPY sagas sagas
RUN python -m hatchling build --target wheel --directory dist \
 && PIP_REQUIRE_HASHES=0 /opt/venv/bin/python -m pip install --no-deps dist/*.whl

FROM python:3.13-slim
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --system --uid 10001 --no-create-home sagas
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY celeryconfig.py ./
COPY tasks tasks
USER sagas
# On SIGTERM, Celery finishes its running tasks and exits.
STOPSIGNAL SIGTERM
CMD ["celery", "-A", "tasks", "worker", "--loglevel", "INFO"]
