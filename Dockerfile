# One image for every part; the command says which. Without one it is `up`: everything, with SQLite under DATA_DIR.
# docs/operations/deployment.md and compose.yaml say how it is meant to be run.
ARG PYTHON=3.11-slim-trixie

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/emailgistics/.venv
COPY requirements/run.txt /tmp/run.txt
# wheels alone, so that there is no compiler in it
RUN /opt/emailgistics/.venv/bin/pip install --require-hashes --only-binary :all: --requirement /tmp/run.txt
COPY manage.py Procfile /opt/emailgistics/
COPY emailgistics /opt/emailgistics/emailgistics
COPY mailboxes /opt/emailgistics/mailboxes
COPY apikeys /opt/emailgistics/apikeys
COPY webhooks /opt/emailgistics/webhooks
COPY templates /opt/emailgistics/templates
COPY static /opt/emailgistics/static
COPY docs /opt/emailgistics/docs
# the file system is read-only when it runs
RUN /opt/emailgistics/.venv/bin/python -m compileall -q -j 0 /opt/emailgistics

FROM python:${PYTHON}
ARG UID=10001
# for `manage.py backup` and `restore`; the version is the distribution's, which is the one that compose.yaml starts
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid ${UID} --user-group --no-create-home --home-dir /var/lib/emailgistics \
        --shell /usr/sbin/nologin emailgistics \
    && install --directory --owner=emailgistics --group=emailgistics --mode=0700 /var/lib/emailgistics
COPY --from=build /opt/emailgistics /opt/emailgistics
ENV PATH=/opt/emailgistics/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DATA_DIR=/var/lib/emailgistics \
    HTTP_HOST=0.0.0.0 \
    SMTP_HOST=0.0.0.0 \
    LOG_FORMAT=json
WORKDIR /opt/emailgistics
VOLUME /var/lib/emailgistics
# by number, so that who runs it can see that it is not root
USER ${UID}:${UID}
EXPOSE 8000 2525
STOPSIGNAL SIGTERM
# of web, and of `up`; compose.yaml says each part's own
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "manage.py", "health", "--role", "web"]
CMD ["python", "manage.py", "up"]
